/** Queues and functions side by side: those that need a look first, then the busiest. */
import type { QueueStats, Stats } from "@rotorsh/sdk";
import { CountText } from "../../ui/count.js";
import { type Column, DataTable } from "../../ui/data-table.js";
import { EmptyState } from "../../ui/empty-state.js";
import { Meter } from "../../ui/meter.js";
import { Badge } from "../../ui/state-badge.js";
import { TimeText } from "../../ui/time-text.js";

/** A queue's figures, and whether its jobs have nowhere to go. */
type Row = QueueStats & { readonly isNowhere: boolean };

const columns: readonly Column<Row>[] = [
  { id: "name", header: "Name", cell: (queue) => queue.name },
  {
    id: "state",
    header: "State",
    width: "118px",
    cell: (queue) => <QueueState queue={queue} isNowhere={queue.isNowhere} />,
  },
  { id: "due", header: "Due", width: "64px", align: "right", cell: (queue) => <CountText of={queue.due} /> },
  {
    id: "oldest",
    header: "Oldest due",
    width: "96px",
    align: "right",
    isWideOnly: true,
    cell: (queue) => <TimeText at={queue.oldestDueAt} />,
  },
  {
    id: "active",
    header: "Running",
    width: "136px",
    isWideOnly: true,
    cell: (queue) => <Meter used={queue.active} limit={queue.concurrency} />,
  },
  {
    id: "failed",
    header: "Dead",
    width: "76px",
    align: "right",
    isWideOnly: true,
    cell: (queue) => <CountText of={queue.failed} tone="amber" />,
  },
  {
    id: "ended",
    header: "Deliveries",
    width: "92px",
    align: "right",
    isWideOnly: true,
    cell: (queue) => <span className={queue.ended === 0 ? "faint" : ""}>{queue.ended.toLocaleString("en")}</span>,
  },
  {
    id: "failures",
    header: "Failed",
    width: "68px",
    align: "right",
    isWideOnly: true,
    cell: (queue) =>
      queue.failures === 0 ? (
        <span className="faint">0</span>
      ) : (
        <span className="tone-red">{queue.failures.toLocaleString("en")}</span>
      ),
  },
];

type StateProps = { readonly queue: QueueStats | undefined; readonly isNowhere?: boolean };

/** One word of how it does. */
export function QueueState({ queue, isNowhere = false }: StateProps) {
  if (queue === undefined) return <span className="faint">–</span>;
  if (isNowhere) return <Badge tone="amber">{queue.kind === "function" ? "not served" : "no URL"}</Badge>;
  if (queue.pausedAt !== null) return <Badge tone="amber">paused</Badge>;
  if (queue.breakerUntil !== null)
    return <Badge tone="red">{queue.kind === "function" ? "app away" : "breaker open"}</Badge>;
  if (queue.failingSince !== null) return <Badge tone="red">failing</Badge>;
  return queue.active.count > 0 ? (
    <Badge tone="blue" isMoving>
      running
    </Badge>
  ) : (
    <Badge tone="grey">idle</Badge>
  );
}

/** Higher ones stand first. */
function weightOf(queue: QueueStats, wrong: ReadonlySet<string>): number {
  const needsLook = wrong.has(`${queue.kind} ${queue.name}`) ? 1e12 : 0;
  return needsLook + queue.due.count * 1e3 + queue.active.count * 1e3 + queue.ended;
}

/** So many; the rest is on the pages of queues and functions. */
const SHOWN = 12;

export function Standing({ stats }: { readonly stats: Stats }) {
  const wrong = new Set(stats.problems.map(({ kind, subject }) => `${kind} ${subject}`));
  const nowhere = new Set(
    stats.problems.filter(({ type }) => type === "queue.no_url").map(({ kind, subject }) => `${kind} ${subject}`),
  );
  const rows = stats.queues
    .toSorted((a, b) => weightOf(b, wrong) - weightOf(a, wrong))
    .slice(0, SHOWN)
    .map((queue): Row => ({ ...queue, isNowhere: nowhere.has(`${queue.kind} ${queue.name}`) }));
  return (
    <DataTable
      label="Queues and functions"
      columns={columns}
      rows={rows}
      rowKey={(queue) => `${queue.kind} ${queue.name}`}
      rowLink={(queue) =>
        queue.kind === "function"
          ? { to: "/functions/$functionId", params: { functionId: queue.name } }
          : { to: "/queues/$queue", params: { queue: queue.name } }
      }
      empty={<EmptyState title="No queue yet" />}
    />
  );
}
