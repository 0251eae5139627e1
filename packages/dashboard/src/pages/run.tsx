/** One run: what it did, what it waits for and until when, and what can be done about it. */
import type { Run } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { POLL_MS } from "../api/live.js";
import { useMay } from "../api/session.js";
import { CopyButton } from "../ui/copy.js";
import { Deliveries } from "../ui/deliveries.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ErrorView } from "../ui/error-view.js";
import { JsonView } from "../ui/json-view.js";
import { EventLink, RunLink } from "../ui/links.js";
import { Fact, Facts, Page, Section } from "../ui/page.js";
import { StateBadge } from "../ui/state-badge.js";
import { Tags } from "../ui/tags.js";
import { TimeText } from "../ui/time-text.js";
import { tell } from "../ui/toasts.js";
import { WhyNotice } from "../ui/why-notice.js";
import { RunActions } from "./run/actions.js";
import { useRunChanged } from "./run/changed.js";
import { EndWaitButtons } from "./run/end-wait.js";
import { partsOf } from "./run/prefill.js";
import styles from "./run/run.module.css";
import { StepPanel } from "./run/step-panel.js";
import { Timeline } from "./run/timeline.js";

const route = getRouteApi("/shell/runs/$runId");
const crumbs = [{ label: "Runs", link: { to: "/runs" } }] as const;

export function RunPage() {
  const { runId } = route.useParams();
  const run = useQuery({
    queryKey: keys.run(runId),
    queryFn: ({ signal }) => rotor.runs.get(runId, { signal }),
    // A run that moves is asked for now and then, even where its stream is another node's.
    refetchInterval: ({ state: { data } }) => (data?.finishedAt ? false : POLL_MS / 4),
  });
  if (run.error)
    return (
      <Page title="Run" crumbs={crumbs}>
        <ErrorNotice error={run.error} onRetry={() => void run.refetch()} />
      </Page>
    );
  return run.data === undefined ? (
    <Page title="Run" crumbs={crumbs}>
      {null}
    </Page>
  ) : (
    <Loaded run={run.data} />
  );
}

function Loaded({ run }: { readonly run: Run }) {
  const { step: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const changed = useRunChanged(run.id);
  const panel = useRef<HTMLDivElement>(null);
  const steps = run.steps ?? [];
  const step = steps.find(({ key }) => key === chosen);
  const choose = (key: string | undefined) => {
    void navigate({ search: key === undefined ? {} : { step: key }, replace: true, resetScroll: false });
    // Where it stands below the timeline it is brought into view.
    if (window.matchMedia("(max-width: 1100px)").matches)
      requestAnimationFrame(() => panel.current?.scrollIntoView({ block: "nearest", behavior: "smooth" }));
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, for whoever came by a link to a step.
  useEffect(() => {
    if (chosen !== undefined) panel.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const onReplayed = (runId: string) => {
    tell("The new run begins");
    void navigate({ to: "/runs/$runId", params: { runId }, search: {} });
  };
  const open = steps.filter(({ state }) => state === "waiting");
  const parts = run.reason === "event" || run.reason === "signal" ? open.flatMap(({ wait }) => partsOf(wait)) : [];
  return (
    <Page
      title={`${run.function} · ${run.id}`}
      crumbs={crumbs}
      heading={
        <div className={styles.heading}>
          <h1>{run.function}</h1>
          <StateBadge state={run.state} reason={run.reason} />
        </div>
      }
      actions={<RunActions run={run} onReplayed={onReplayed} />}
    >
      {(run.state === "waiting" || run.state === "pending_approval") && (
        <WhyNotice
          id={run.id}
          actions={
            parts.length > 0 && mayWrite ? (
              <EndWaitButtons parts={parts} trigger={run.event.data} onDone={changed} />
            ) : undefined
          }
        />
      )}
      <RunFacts run={run} />
      <div className={styles.columns}>
        <Timeline run={run} chosen={step?.key} onChoose={choose} />
        <div ref={panel}>
          {step === undefined ? (
            <WholePanel run={run} />
          ) : (
            <StepPanel key={step.key} run={run} step={step} onReplayed={onReplayed} />
          )}
        </div>
      </div>
      {run.deliveries !== undefined && run.deliveries.length > 0 && (
        <Section title="Deliveries">
          <Deliveries deliveries={run.deliveries} open={-1} />
        </Section>
      )}
    </Page>
  );
}

function RunFacts({ run }: { readonly run: Run }) {
  return (
    <Facts>
      <Fact name="Run">
        {
          <span className="row">
            <code className="cut">{run.id}</code>
            <CopyButton text={run.id} label="Copy the run's id" />
          </span>
        }
      </Fact>
      <Fact name="Started">{<TimeText at={run.createdAt} as="full" />}</Fact>
      <Fact name="Ended">{run.finishedAt === null ? undefined : <TimeText at={run.finishedAt} as="full" />}</Fact>
      <Fact name="Started by">
        {
          <span>
            {run.event.name === "" ? "a call" : run.event.name} <EventLink id={run.event.id} />
          </span>
        }
      </Fact>
      <Fact name="Attempt">
        {run.attempt === 0 ? undefined : <span className="number">{`${run.attempt} of ${run.maxAttempts}`}</span>}
      </Fact>
      <Fact name="Fails if not ended by">
        {run.deadlineAt === null || run.finishedAt !== null ? undefined : <TimeText at={run.deadlineAt} as="full" />}
      </Fact>
      <Fact name="Invoked by">{run.parentId === null ? undefined : <RunLink id={run.parentId} />}</Fact>
      <Fact name="Replay of">{run.replayOf === null ? undefined : <RunLink id={run.replayOf} />}</Fact>
      <Fact name="Its failure started">{run.failureRunId ? <RunLink id={run.failureRunId} /> : undefined}</Fact>
      <Fact name="Tags">{run.tags.length === 0 ? undefined : <Tags tags={run.tags} />}</Fact>
    </Facts>
  );
}

/** The run as a whole: what it began with, and what it gave. */
function WholePanel({ run }: { readonly run: Run }) {
  return (
    <div className={styles.panel}>
      {run.error !== null && (
        <Section title={run.state === "failed" ? "Error" : "Last error"}>
          <ErrorView error={run.error} />
        </Section>
      )}
      {run.output !== undefined && (
        <Section title="Output">
          <JsonView label="Output" value={run.output} />
        </Section>
      )}
      <Section title="Input">
        <JsonView label="Input" value={run.event.data} />
      </Section>
    </div>
  );
}
