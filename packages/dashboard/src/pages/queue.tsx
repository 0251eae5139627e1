/** One queue: what is in it, its limits, and what can be done to all of it. */
import type { Job, Queue } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { Ellipsis, Pause, Pencil, Play, Plus, Trash2, Waves } from "lucide-react";
import { useState } from "react";
import { useAction, useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { POLL_MS } from "../api/live.js";
import { useMay } from "../api/session.js";
import { useQueueStats } from "../api/stats.js";
import { Button } from "../ui/button.js";
import { countText } from "../ui/count.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { ConfirmDialog } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { Menu } from "../ui/menu.js";
import { Fact, Facts, Page, Section } from "../ui/page.js";
import { Badge, StateBadge } from "../ui/state-badge.js";
import { Tile, Tiles } from "../ui/tile.js";
import { TimeText } from "../ui/time-text.js";
import { plural, shortId } from "../ui/words.js";
import { QueueState } from "./overview/standing.js";
import { EnqueueDialog, LimitsDialog } from "./queues/dialogs.js";

const route = getRouteApi("/shell/queues/$queue");

type Asked = "limits" | "enqueue" | "drain" | "delete";

export function QueuePage() {
  const { queue: name } = route.useParams();
  const {
    data: queue,
    error,
    refetch,
  } = useQuery({
    queryKey: keys.queue(name),
    queryFn: ({ signal }) => rotor.queues.get(name, { signal }),
    refetchInterval: POLL_MS,
  });
  const stats = useQueueStats("callback").get(name);
  const mayWrite = useMay("write");
  const [asked, setAsked] = useState<Asked>();
  const close = () => setAsked(undefined);
  const { act, isBusy } = useAction();
  const crumbs = [{ label: "Queues", link: { to: "/queues" } as const }];
  if (error)
    return (
      <Page title={name} crumbs={crumbs}>
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      </Page>
    );
  if (queue === undefined) return <Page title={name} crumbs={crumbs} />;
  const isPaused = queue.pausedAt !== null;
  const turn = () =>
    act(() => (isPaused ? rotor.queues.resume(name) : rotor.queues.pause(name)), {
      done: isPaused ? "It delivers again" : "It begins no further delivery",
      touches: ["queue", "queues", "stats", "jobs"],
    });
  return (
    <Page
      title={name}
      crumbs={crumbs}
      heading={
        <div className="row wrap">
          <h1 className="cut">{name}</h1>
          {queue.callbackUrl === null ? <Badge tone="amber">no URL</Badge> : <QueueState queue={stats} />}
        </div>
      }
      actions={
        mayWrite && (
          <>
            <Button icon={<Plus />} onClick={() => setAsked("enqueue")}>
              Enqueue
            </Button>
            <Button icon={<Pencil />} onClick={() => setAsked("limits")}>
              Limits
            </Button>
            <Button
              kind={isPaused ? "primary" : "plain"}
              icon={isPaused ? <Play /> : <Pause />}
              isBusy={isBusy}
              onClick={() => void turn()}
            >
              {isPaused ? "Resume" : "Pause"}
            </Button>
            <Menu
              label="More"
              icon={<Ellipsis />}
              entries={[
                {
                  label: "Drain: cancel what waits",
                  icon: <Waves />,
                  onSelect: () => setAsked("drain"),
                  isDangerous: true,
                },
                { label: "Delete", icon: <Trash2 />, onSelect: () => setAsked("delete"), isDangerous: true },
              ]}
            />
          </>
        )
      }
    >
      <Tiles label="Figures">
        <Tile
          name="Due now"
          value={stats === undefined ? "–" : countText(stats.due)}
          note={stats?.oldestDueAt ? <>oldest {<TimeText at={stats.oldestDueAt} />}</> : "nothing waits for a slot"}
          link={{ to: "/jobs", search: { queue: name, state: "queued" } }}
        />
        <Tile
          name="Running"
          value={stats === undefined ? "–" : countText(stats.active)}
          note={queue.concurrency === null ? "no limit" : `of ${queue.concurrency}`}
          link={{ to: "/jobs", search: { queue: name, state: "active" } }}
        />
        <Tile
          name="Waiting"
          value={stats === undefined ? "–" : countText(stats.waiting)}
          note={
            stats !== undefined && stats.blocked.count > 0
              ? `and ${countText(stats.blocked)} for a key`
              : "for their time"
          }
          link={{ to: "/jobs", search: { queue: name, state: "waiting" } }}
        />
        <Tile
          name="Dead letters"
          value={stats === undefined ? "–" : countText(stats.failed)}
          note="failed for good"
          tone={stats !== undefined && stats.failed.count > 0 ? "amber" : undefined}
          link={{ to: "/dead-letters", search: { queue: name } }}
        />
        <Tile
          name="Deliveries, last hour"
          value={stats === undefined ? "–" : stats.ended.toLocaleString("en")}
          note={
            stats === undefined || stats.failures === 0
              ? "none failed"
              : `${stats.failures.toLocaleString("en")} failed`
          }
          tone={stats?.failingSince != null ? "red" : undefined}
        />
      </Tiles>
      <Section title="How it delivers">
        <Settings queue={queue} />
      </Section>
      <Section
        title="Newest jobs"
        actions={
          <Link to="/jobs" search={{ queue: name }} className="link muted">
            All of them
          </Link>
        }
      >
        <Newest queue={name} />
      </Section>
      <LimitsDialog queue={queue} isOpen={asked === "limits"} onClose={close} />
      <EnqueueDialog queue={name} isOpen={asked === "enqueue"} onClose={close} />
      <DrainDialog name={name} isOpen={asked === "drain"} onClose={close} />
      <DeleteDialog name={name} isOpen={asked === "delete"} onClose={close} />
    </Page>
  );
}

function Settings({ queue }: { readonly queue: Queue }) {
  const { retry, rateLimit, breaker } = queue;
  const curve = Array.isArray(retry.backoff)
    ? retry.backoff.join(", ")
    : `${retry.backoff}, ${retry.min} to ${retry.max}`;
  const headers = Object.keys(queue.headers);
  return (
    <Facts>
      <Fact name="Callback URL">{queue.callbackUrl ?? "none: jobs wait until it has one"}</Fact>
      <Fact name="At a time">
        {queue.concurrency ?? "no limit"}
        {queue.strictConcurrency && ", strictly"}
      </Fact>
      <Fact name="Rate limit">
        {rateLimit === null
          ? "none"
          : `${rateLimit.limit.toLocaleString("en")} in ${rateLimit.period}${rateLimit.key === undefined ? "" : `, by ${rateLimit.key}`}`}
      </Fact>
      <Fact name="Attempts">
        {retry.maxAttempts} ({curve})
      </Fact>
      <Fact name="Time limit">{queue.timeout}</Fact>
      <Fact name="Breaker">{breaker === null ? "none" : `after ${breaker.failures} failures in a row`}</Fact>
      <Fact name="Approval">{queue.approvalRequired ? `needed within ${queue.approvalTimeout}` : "not needed"}</Fact>
      <Fact name="Own secret">{queue.hasSecret ? "yes" : "no: the workspace's key signs"}</Fact>
      <Fact name="Headers">{headers.length > 0 && headers.join(", ")}</Fact>
      <Fact name="Paused">{queue.pausedAt && <TimeText at={queue.pausedAt} as="full" />}</Fact>
      <Fact name="Made">
        <TimeText at={queue.createdAt} as="full" />
      </Fact>
    </Facts>
  );
}

const columns: readonly Column<Job>[] = [
  { id: "state", header: "State", width: "150px", cell: (job) => <StateBadge state={job.state} reason={job.reason} /> },
  { id: "job", header: "Job", cell: (job) => job.jobId ?? <code className="faint">{shortId(job.id)}</code> },
  {
    id: "attempt",
    header: "Attempt",
    width: "90px",
    isWideOnly: true,
    cell: (job) => `${job.attempt} of ${job.maxAttempts}`,
  },
  {
    id: "error",
    header: "Last error",
    isWideOnly: true,
    cell: (job) => <span className="muted">{job.error?.message}</span>,
  },
  { id: "created", header: "Enqueued", width: "88px", align: "right", cell: (job) => <TimeText at={job.createdAt} /> },
];

/** As many as are shown here. */
const NEWEST = 20;

function Newest({ queue }: { readonly queue: string }) {
  const { rows, isLoading, error, refetch } = useListing(keys.jobs({ queue, newest: NEWEST }), (signal) =>
    rotor.jobs.list(queue, { brief: true, limit: NEWEST, signal }),
  );
  if (error) return <ErrorNotice error={error} onRetry={refetch} />;
  return (
    <DataTable
      label="Newest jobs"
      columns={columns}
      rows={rows.slice(0, NEWEST)}
      rowKey={(job) => job.id}
      rowLink={(job) => ({ to: "/jobs/$jobId", params: { jobId: job.id } })}
      isLoading={isLoading}
      empty={
        <EmptyState title="No job yet" code={`rotor jobs enqueue ${queue} '{"to": "ada@example.com"}'`}>
          Jobs come by the API, the client, or a row in <code>rotor.inbox</code>.
        </EmptyState>
      }
    />
  );
}

type DialogProps = { readonly name: string; readonly isOpen: boolean; readonly onClose: () => void };

function DrainDialog({ name, isOpen, onClose }: DialogProps) {
  const touch = useTouch();
  const { data } = useQuery({
    queryKey: ["drain", name],
    queryFn: ({ signal }) => rotor.queues.drain(name, { dryRun: true }, { signal }),
    enabled: isOpen,
    staleTime: 0,
  });
  return (
    <ConfirmDialog
      title={`Drain ${name}?`}
      isOpen={isOpen}
      onClose={onClose}
      verb="Cancel them"
      isDangerous
      onConfirm={async () => {
        await rotor.queues.drain(name, { confirm: true });
        await touch("queue", "queues", "stats", "jobs");
      }}
    >
      <p>
        {data === undefined
          ? "Counting…"
          : `${plural(data.cancelled, "job")} that wait${data.cancelled === 1 ? "s" : ""} will be cancelled.`}{" "}
        What is being delivered goes on. This cannot be undone.
      </p>
    </ConfirmDialog>
  );
}

function DeleteDialog({ name, isOpen, onClose }: DialogProps) {
  const touch = useTouch();
  const navigate = useNavigate();
  return (
    <ConfirmDialog
      title={`Delete ${name}?`}
      isOpen={isOpen}
      onClose={onClose}
      verb="Delete it"
      isDangerous
      onConfirm={async () => {
        await rotor.queues.delete(name);
        await navigate({ to: "/queues" });
        await touch("queues", "stats");
      }}
    >
      <p>Its finished jobs stay until their retention ends. With unfinished jobs in it a queue cannot be deleted.</p>
    </ConfirmDialog>
  );
}
