/** Sends what a run waits for: an event, or a signal, with its data written as the wait asks for it. */
import { Hand, Radio } from "lucide-react";
import { useId, useState } from "react";
import { rotor } from "../../api/client.js";
import { Button } from "../../ui/button.js";
import { ConfirmDialog, Field } from "../../ui/dialog.js";
import { tell } from "../../ui/toasts.js";
import { dataFor, type WaitPart } from "./prefill.js";

type Props = {
  readonly parts: readonly WaitPart[];
  /** Data of the run's own event. */
  readonly trigger: unknown;
  readonly onDone: () => Promise<void>;
  readonly kind?: "plain" | "primary";
};

/** A button for each thing that would end the wait. */
export function EndWaitButtons({ parts, trigger, onDone, kind = "primary" }: Props) {
  return parts.map((part) => <EndWaitButton key={part.name ?? ""} {...{ part, trigger, onDone, kind }} />);
}

type OneProps = Omit<Props, "parts"> & { readonly part: WaitPart };

function EndWaitButton({ part, trigger, onDone, kind = "primary" }: OneProps) {
  const [isOpen, setOpen] = useState(false);
  const isSignal = part.signal !== undefined;
  const label = isSignal ? "Complete the signal" : `Send ${part.event}`;
  return (
    <>
      <Button kind={kind} icon={isSignal ? <Hand /> : <Radio />} onClick={() => setOpen(true)}>
        {part.name === null ? label : `${label} (${part.name})`}
      </Button>
      {isOpen && <EndWaitDialog part={part} trigger={trigger} onClose={() => setOpen(false)} onDone={onDone} />}
    </>
  );
}

type DialogProps = {
  readonly part: WaitPart;
  readonly trigger: unknown;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
};

function EndWaitDialog({ part, trigger, onClose, onDone }: DialogProps) {
  const [text, setText] = useState(() =>
    JSON.stringify(part.signal === undefined ? dataFor(part, trigger) : {}, null, 2),
  );
  const id = useId();
  const send = async (): Promise<void> => {
    let data: unknown;
    try {
      data = JSON.parse(text);
    } catch (error) {
      throw new Error(`The data is not JSON: ${(error as Error).message}`);
    }
    if (part.signal === undefined) {
      const { runs, duplicate } = await rotor.send({ name: part.event!, data });
      tell(
        `${part.event} was ${duplicate ? "known already" : "sent"}${runs.length > 0 ? `; it started ${runs.length}` : ""}`,
      );
    } else {
      await rotor.signals.complete(part.signal, data);
      tell("The signal is completed");
    }
    await onDone();
  };
  return (
    <ConfirmDialog
      title={part.signal === undefined ? `Send ${part.event}` : "Complete the signal"}
      isOpen
      onClose={onClose}
      verb={part.signal === undefined ? "Send" : "Complete"}
      onConfirm={send}
    >
      <p>
        {part.signal === undefined
          ? "The event goes to everything that listens for it. Its data is written so that this wait accepts it."
          : "The run goes on with this data."}
      </p>
      {part.signal !== undefined && <code>{part.signal}</code>}
      <Field label="Data, as JSON">
        <textarea id={id} value={text} spellCheck={false} onChange={(event) => setText(event.target.value)} rows={7} />
      </Field>
    </ConfirmDialog>
  );
}
