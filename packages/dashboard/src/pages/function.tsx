/** One function: what starts it, its options, its newest runs; and a run by hand. */
import type { FunctionView, Run } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { Pause, Play, Zap } from "lucide-react";
import { useState } from "react";
import { useAction } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { POLL_MS } from "../api/live.js";
import { useMay } from "../api/session.js";
import { useQueueStats } from "../api/stats.js";
import { Button } from "../ui/button.js";
import { countText } from "../ui/count.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { Field } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice, Notice } from "../ui/error-notice.js";
import { FormDialog, written, writtenJson } from "../ui/form-dialog.js";
import { Fact, Facts, Page, Section } from "../ui/page.js";
import { Badge, StateBadge } from "../ui/state-badge.js";
import { Tile, Tiles } from "../ui/tile.js";
import { Span, TimeText } from "../ui/time-text.js";
import { triggerText } from "./functions/triggers.js";
import { QueueState } from "./overview/standing.js";

const route = getRouteApi("/shell/functions/$functionId");

export function FunctionPage() {
  const { functionId: id } = route.useParams();
  const {
    data: of,
    error,
    refetch,
  } = useQuery({
    queryKey: ["function", id],
    queryFn: ({ signal }) => rotor.functions.get(id, { signal }),
    refetchInterval: POLL_MS,
  });
  const stats = useQueueStats("function").get(id);
  const mayWrite = useMay("write");
  const [isStarting, setStarting] = useState(false);
  const { act, isBusy } = useAction();
  const crumbs = [{ label: "Functions", link: { to: "/functions" } as const }];
  if (error)
    return (
      <Page title={id} crumbs={crumbs}>
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      </Page>
    );
  if (of === undefined) return <Page title={id} crumbs={crumbs} />;
  const isPaused = of.pausedAt !== null;
  return (
    <Page
      title={id}
      crumbs={crumbs}
      heading={
        <div className="row wrap">
          <h1 className="cut">{id}</h1>
          {of.serveUrl === null ? <Badge tone="red">not served</Badge> : <QueueState queue={stats} />}
        </div>
      }
      actions={
        mayWrite && (
          <>
            <Button
              icon={isPaused ? <Play /> : <Pause />}
              kind={isPaused ? "primary" : "plain"}
              isBusy={isBusy}
              onClick={() =>
                void act(() => (isPaused ? rotor.functions.resume(id) : rotor.functions.pause(id)), {
                  done: isPaused ? "Its runs go on" : "Its runs wait",
                  touches: ["function", "functions", "stats", "runs"],
                })
              }
            >
              {isPaused ? "Resume" : "Pause"}
            </Button>
            <Button kind={isPaused ? "plain" : "primary"} icon={<Zap />} onClick={() => setStarting(true)}>
              Start a run
            </Button>
          </>
        )
      }
    >
      {of.serveUrl === null && (
        <Notice tone="red">
          Its app no longer has this function: its runs wait. Deploy the app with it, or cancel the runs.
        </Notice>
      )}
      <Tiles label="Figures">
        <Tile
          name="Due now"
          value={stats === undefined ? "–" : countText(stats.due)}
          note={stats?.oldestDueAt ? <>oldest {<TimeText at={stats.oldestDueAt} />}</> : "nothing waits for a slot"}
          link={{ to: "/runs", search: { function: id, state: "queued" } }}
        />
        <Tile
          name="Running"
          value={stats === undefined ? "–" : countText(stats.active)}
          note={of.concurrency === null ? "no limit" : `of ${of.concurrency}`}
          link={{ to: "/runs", search: { function: id, state: "active" } }}
        />
        <Tile
          name="Waiting"
          value={stats === undefined ? "–" : countText(stats.waiting)}
          note="asleep, or for something"
          link={{ to: "/runs", search: { function: id, state: "waiting" } }}
        />
        <Tile
          name="Failed runs"
          value={stats === undefined ? "–" : countText(stats.failed)}
          note="failed for good"
          tone={stats !== undefined && stats.failed.count > 0 ? "amber" : undefined}
          link={{ to: "/runs", search: { function: id, state: "failed" } }}
        />
      </Tiles>
      <Section title="How it runs">
        <Options of={of} />
      </Section>
      <Section
        title="Newest runs"
        actions={
          <Link to="/runs" search={{ function: id }} className="link muted">
            All of them
          </Link>
        }
      >
        <Newest of={of} />
      </Section>
      <StartDialog id={id} isOpen={isStarting} onClose={() => setStarting(false)} />
    </Page>
  );
}

const byKey = (what: string, key: string | undefined): string => (key === undefined ? what : `${what} by ${key}`);

function Options({ of }: { readonly of: FunctionView }) {
  const { rateLimit, singleton, debounce, batch, concurrencyKeys = [], cancelOn = [] } = of;
  return (
    <Facts>
      <Fact name="App">{of.app}</Fact>
      <Fact name="Served at">{of.serveUrl}</Fact>
      <Fact name="Started by">
        {of.triggers.length === 0 ? "direct calls only" : of.triggers.map(triggerText).join(", ")}
      </Fact>
      <Fact name="Attempts of a step">{of.maxAttempts}</Fact>
      <Fact name="At a time">{of.concurrency ?? "no limit"}</Fact>
      {concurrencyKeys.map(({ limit, key }) => (
        <Fact key={key} name="At a time, by key">
          {limit} by {key}
        </Fact>
      ))}
      <Fact name="Rate limit">{rateLimit && `${rateLimit.limit} in ${rateLimit.period}`}</Fact>
      <Fact name="Singleton">{singleton && byKey(singleton.mode, singleton.key)}</Fact>
      <Fact name="Debounce">{debounce && byKey(debounce.period, debounce.key)}</Fact>
      <Fact name="Batch">{batch && byKey(`${batch.size} within ${batch.timeout}`, batch.key)}</Fact>
      <Fact name="Time limit">{of.timeout}</Fact>
      <Fact name="Cancelled by">{cancelOn.length > 0 && cancelOn.map(({ event }) => event).join(", ")}</Fact>
      <Fact name="On failure">
        {of.onFailure && (
          <Link to="/functions/$functionId" params={{ functionId: of.onFailure }} className="link">
            {of.onFailure}
          </Link>
        )}
      </Fact>
      <Fact name="Paused">{of.pausedAt && <TimeText at={of.pausedAt} as="full" />}</Fact>
      <Fact name="Known since">
        <TimeText at={of.createdAt} as="full" />
      </Fact>
    </Facts>
  );
}

const columns: readonly Column<Run>[] = [
  { id: "state", header: "State", width: "150px", cell: (run) => <StateBadge state={run.state} reason={run.reason} /> },
  { id: "event", header: "Started by", cell: (run) => run.event.name },
  {
    id: "error",
    header: "Error",
    isWideOnly: true,
    cell: (run) => <span className="muted">{run.error?.message}</span>,
  },
  {
    id: "took",
    header: "Took",
    width: "96px",
    align: "right",
    isWideOnly: true,
    cell: (run) =>
      run.finishedAt === null ? "" : <Span ms={Date.parse(run.finishedAt) - Date.parse(run.createdAt)} />,
  },
  { id: "created", header: "Started", width: "88px", align: "right", cell: (run) => <TimeText at={run.createdAt} /> },
];

/** As many as are shown here. */
const NEWEST = 20;

function Newest({ of }: { readonly of: FunctionView }) {
  const { rows, isLoading, error, refetch } = useListing(keys.runs({ function: of.id, newest: NEWEST }), (signal) =>
    rotor.runs.list({ function: of.id, brief: true, limit: NEWEST, signal }),
  );
  if (error) return <ErrorNotice error={error} onRetry={refetch} />;
  const event = of.triggers.find((trigger) => trigger.event !== undefined)?.event;
  return (
    <DataTable
      label="Newest runs"
      columns={columns}
      rows={rows.slice(0, NEWEST)}
      rowKey={(run) => run.id}
      rowLink={(run) => ({ to: "/runs/$runId", params: { runId: run.id } })}
      isLoading={isLoading}
      empty={
        <EmptyState
          title="No run yet"
          code={event === undefined ? `await rotor.runs.start("${of.id}", {});` : `rotor send ${event} '{}'`}
        >
          It begins when what it listens for comes, or when it is started directly.
        </EmptyState>
      }
    />
  );
}

type StartProps = { readonly id: string; readonly isOpen: boolean; readonly onClose: () => void };

function StartDialog({ id, isOpen, onClose }: StartProps) {
  const navigate = useNavigate();
  return (
    <FormDialog
      title={`Start a run of ${id}`}
      verb="Start it"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const delay = written(form, "delay");
        const { runId } = await rotor.runs.start(
          id,
          writtenJson(form, "data") ?? null,
          delay === undefined ? {} : { delay: delay as "1s" },
        );
        await navigate({ to: "/runs/$runId", params: { runId } });
      }}
    >
      <Field label="Data" hint="JSON: what the function finds as event.data.">
        <textarea name="data" spellCheck={false} defaultValue="{}" />
      </Field>
      <Field label="Delay" hint="Such as 30s or 2h. Empty: now.">
        <input name="delay" />
      </Field>
    </FormDialog>
  );
}
