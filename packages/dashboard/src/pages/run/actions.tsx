/** What can be done with a run as a whole. */
import type { Run } from "@rotorsh/sdk";
import { Ban, Code, Copy, EllipsisVertical, Play, RotateCcw, Undo2 } from "lucide-react";
import { useState } from "react";
import { rotor } from "../../api/client.js";
import { useMay, useSession } from "../../api/session.js";
import { Button } from "../../ui/button.js";
import { copy } from "../../ui/copy.js";
import { ConfirmDialog, Field } from "../../ui/dialog.js";
import { Menu } from "../../ui/menu.js";
import { tell } from "../../ui/toasts.js";
import { asCurl, asSdkCall } from "./as-code.js";
import { useRunChanged } from "./changed.js";

type Props = { readonly run: Run; readonly onReplayed: (runId: string) => void };
type Asking = "cancel" | "replay" | "retry" | "resume";

export function RunActions({ run, onReplayed }: Props) {
  const mayWrite = useMay("write");
  const { public_url: baseUrl } = useSession();
  const changed = useRunChanged(run.id);
  const [asking, setAsking] = useState<Asking>();
  const [withChildren, setWithChildren] = useState(false);
  const [input, setInput] = useState(() => JSON.stringify(run.event.data, null, 2));
  const close = () => setAsking(undefined);
  const isOpen = run.finishedAt === null;
  const doing = async (what: () => Promise<unknown>, word: string): Promise<void> => {
    await what();
    tell(word);
    await changed();
  };
  return (
    <>
      {mayWrite && run.reason === "held" && (
        <Button kind="primary" icon={<Play />} onClick={() => setAsking("resume")}>
          Resume
        </Button>
      )}
      {mayWrite && run.state === "failed" && (
        <Button kind="primary" icon={<Undo2 />} onClick={() => setAsking("retry")}>
          Retry from the failure
        </Button>
      )}
      {mayWrite && (
        <Button icon={<RotateCcw />} onClick={() => setAsking("replay")}>
          Replay
        </Button>
      )}
      {mayWrite && isOpen && (
        <Button kind="danger" icon={<Ban />} onClick={() => setAsking("cancel")}>
          Cancel
        </Button>
      )}
      <Menu
        label="More"
        icon={<EllipsisVertical />}
        entries={[
          { label: "Copy as curl", icon: <Code />, onSelect: () => void copy(asCurl(run, baseUrl), "curl is copied") },
          {
            label: "Copy as SDK call",
            icon: <Code />,
            onSelect: () => void copy(asSdkCall(run), "The call is copied"),
          },
          { label: "Copy the run's id", icon: <Copy />, onSelect: () => void copy(run.id, "The id is copied") },
          {
            label: "Copy as JSON",
            icon: <Copy />,
            onSelect: () => void copy(JSON.stringify(run, null, 2), "The run is copied"),
          },
        ]}
      />
      <ConfirmDialog
        title="Cancel this run"
        isOpen={asking === "cancel"}
        onClose={close}
        verb="Cancel the run"
        isDangerous
        onConfirm={() => doing(() => rotor.runs.cancel(run.id, { children: withChildren }), "The run is cancelled")}
      >
        <p>It ends now, for good. A step that is under way learns it at its signal.</p>
        <label className="row">
          <input type="checkbox" checked={withChildren} onChange={(event) => setWithChildren(event.target.checked)} />
          Also the runs and jobs that it waits for
        </label>
      </ConfirmDialog>
      <ConfirmDialog
        title="Replay from the start"
        isOpen={asking === "replay"}
        onClose={close}
        verb="Replay"
        onConfirm={async () => onReplayed((await rotor.runs.replay(run.id, replayOptions(input, run))).runId)}
      >
        <p>A new run of {run.function} begins with this data. This one stays as it is.</p>
        <Field label="Data of its event, as JSON">
          <textarea value={input} spellCheck={false} onChange={(event) => setInput(event.target.value)} rows={8} />
        </Field>
      </ConfirmDialog>
      <ConfirmDialog
        title="Retry from the failure"
        isOpen={asking === "retry"}
        onClose={close}
        verb="Retry"
        onConfirm={() => doing(() => rotor.runs.retry(run.id), "The run goes on")}
      >
        <p>The run goes on where it failed, with all its attempts; steps that are done stay done.</p>
      </ConfirmDialog>
      <ConfirmDialog
        title="Resume this run"
        isOpen={asking === "resume"}
        onClose={close}
        verb="Resume"
        onConfirm={() => doing(() => rotor.runs.resume(run.id), "The run goes on")}
      >
        <p>
          The run was held because its code no longer fits what is recorded. It is tried again with the code as it is
          now.
        </p>
      </ConfirmDialog>
    </>
  );
}

/** The data as it was written, unless it is the run's own: then the server takes that, digit by digit. */
function replayOptions(text: string, run: Run): { input?: unknown } {
  if (text === JSON.stringify(run.event.data, null, 2)) return {};
  try {
    return { input: JSON.parse(text) };
  } catch (error) {
    throw new Error(`The data is not JSON: ${(error as Error).message}`);
  }
}
