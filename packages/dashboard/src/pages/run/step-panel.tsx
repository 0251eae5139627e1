/** What is known of one step: what it waits for, gave, failed with; and what can be done about it. */
import type { Run, StepView } from "@rotorsh/sdk";
import { Link2, RotateCcw, SkipForward } from "lucide-react";
import { useState } from "react";
import { rotor } from "../../api/client.js";
import { useMay, useSession } from "../../api/session.js";
import { Button } from "../../ui/button.js";
import { copy } from "../../ui/copy.js";
import { ConfirmDialog } from "../../ui/dialog.js";
import { ErrorView } from "../../ui/error-view.js";
import { JsonView } from "../../ui/json-view.js";
import { EventLink, JobLink, RunLink } from "../../ui/links.js";
import { Fact, Facts, Section } from "../../ui/page.js";
import { Badge, StateBadge } from "../../ui/state-badge.js";
import { Span, TimeText } from "../../ui/time-text.js";
import { tell } from "../../ui/toasts.js";
import { useRunChanged } from "./changed.js";
import { EndWaitButtons } from "./end-wait.js";
import { kindOf } from "./kinds.js";
import { partsOf, type WaitPart } from "./prefill.js";
import styles from "./run.module.css";

type Props = { readonly run: Run; readonly step: StepView; readonly onReplayed: (runId: string) => void };

export function StepPanel({ run, step, onReplayed }: Props) {
  const mayWrite = useMay("write");
  const { dev } = useSession();
  const [isReplaying, setReplaying] = useState(false);
  const changed = useRunChanged(run.id);
  const parts = partsOf(step.wait);
  const child = childOf(step);
  const isRetrying = step.state === "waiting" && step.kind === "run";
  const isOpen = step.state === "waiting" && run.finishedAt === null;
  const skip = async (): Promise<void> => {
    await rotor.runs.skip(run.id, step.key);
    tell(`${step.key} is over`);
    await changed();
  };
  return (
    <div className={styles.panel}>
      <header className={styles.panelHead}>
        <div className={styles.panelTitle}>
          <h2 className="cut" title={step.key}>
            {step.key}
          </h2>
          {isRetrying ? <Badge tone="amber">retrying</Badge> : <StateBadge state={step.state} />}
          <Button
            kind="quiet"
            label="Copy a link to this step"
            icon={<Link2 />}
            onClick={() => void copy(window.location.href, "The link is copied")}
          />
        </div>
        <div className="row wrap">
          {isOpen && mayWrite && (
            <EndWaitButtons kind="plain" parts={parts} trigger={run.event.data} onDone={changed} />
          )}
          {isOpen && mayWrite && dev && step.kind === "sleep" && (
            <Button icon={<SkipForward />} onClick={() => void skip()}>
              Skip this sleep
            </Button>
          )}
          {mayWrite && (
            <Button icon={<RotateCcw />} onClick={() => setReplaying(true)}>
              Replay from here
            </Button>
          )}
        </div>
      </header>
      <Facts>
        <Fact name="Kind">{kindOf(step).word}</Fact>
        <Fact name="Attempt">
          {step.attempt > 1 || step.kind === "run" ? <span className="number">{step.attempt}</span> : undefined}
        </Fact>
        <Fact name="Took">{step.endedAt === null ? undefined : <Span ms={tookOf(step)} />}</Fact>
        <Fact name="Asked">
          {step.askedAt === null || step.kind === "run" ? undefined : <TimeText at={step.askedAt} as="full" />}
        </Fact>
        <Fact name="Ended">{step.endedAt === null ? undefined : <TimeText at={step.endedAt} as="full" />}</Fact>
        <Fact name={step.kind === "run" ? "Next attempt" : "At the latest"}>
          {isOpen ? <TimeText at={step.dueAt} as="full" /> : undefined}
        </Fact>
        <Fact name="Ended by">{step.eventId === null ? undefined : <EventLink id={step.eventId} />}</Fact>
        <Fact name="Child">
          {child === undefined ? undefined : step.kind === "invoke" ? <RunLink id={child} /> : <JobLink id={child} />}
        </Fact>
      </Facts>
      {parts.length > 0 && (
        <Section title={step.state === "waiting" ? "Waits for" : "Waited for"}>
          <ul className={styles.parts}>
            {parts.map((part) => (
              <li key={part.name ?? ""}>
                <Awaited part={part} />
              </li>
            ))}
          </ul>
        </Section>
      )}
      {step.error !== null && !isRetrying && (
        <Section title="Error">
          <ErrorView error={step.error} />
        </Section>
      )}
      {step.failures.length > 0 && (
        <Section title={isRetrying ? "Failed attempts" : "Earlier attempts"}>
          <ol className={styles.attempts}>
            {step.failures.map(({ attempt, at, durationMs, error }) => (
              <li key={attempt}>
                <p className="muted">
                  Attempt {attempt}, <TimeText at={at} as="full" />, after <Span ms={durationMs} />
                </p>
                <ErrorView error={error} />
              </li>
            ))}
          </ol>
        </Section>
      )}
      {step.output !== undefined && (
        <Section title="Output">
          <JsonView label="Output" value={step.output} />
        </Section>
      )}
      <ConfirmDialog
        title={`Replay from ${step.key}`}
        isOpen={isReplaying}
        onClose={() => setReplaying(false)}
        verb="Replay"
        onConfirm={async () => onReplayed((await rotor.runs.replay(run.id, { fromStep: step.key })).runId)}
      >
        <p>
          A new run begins with the results that were recorded before this step; this step and what follows run again.
          This run stays as it is.
        </p>
      </ConfirmDialog>
    </div>
  );
}

function Awaited({ part }: { readonly part: WaitPart }) {
  const condition = part.cel ?? (part.equals === undefined ? undefined : equalsText(part.equals));
  return (
    <>
      {part.name !== null && <span className="muted">{part.name}: </span>}
      {part.signal === undefined ? (
        <>
          the event <code>{part.event}</code>
          {condition !== undefined && (
            <>
              {" "}
              where <code>{condition}</code>
            </>
          )}
        </>
      ) : (
        <>
          the signal <code>{part.signal}</code>
        </>
      )}
    </>
  );
}

const equalsText = (equals: NonNullable<WaitPart["equals"]>): string =>
  Object.entries(equals)
    .map(([path, value]) => `${path} == ${JSON.stringify(value)}`)
    .join(" && ");

const tookOf = (step: StepView): number | null =>
  step.durationMs ??
  (step.askedAt === null || step.endedAt === null ? null : Date.parse(step.endedAt) - Date.parse(step.askedAt));

/** The run or job that a step started. */
function childOf({ kind, wait, output }: StepView): string | undefined {
  const place = kind === "invoke" || kind === "enqueue" ? (wait ?? output) : undefined;
  const id = (place as { job?: unknown; id?: unknown } | undefined)?.job ?? (place as { id?: unknown } | undefined)?.id;
  return typeof id === "string" ? id : undefined;
}
