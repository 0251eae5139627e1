/** How a workspace stands: what of its figures is worth a person's attention, and since when. Worst first. */
import { limits } from "./limits.js";

export type Problem = {
  readonly type:
    | "held"
    | "nodes.none"
    | "app.unreachable"
    | "queue.late"
    | "queue.failing"
    | "queue.breaker"
    | "schedule.missed"
    | "queue.no_url"
    | "queue.paused";
  /** `error`: something that should happen does not. `warning`: somebody has stopped it, or it may come by itself. */
  readonly severity: "error" | "warning";
  readonly subject: string | null;
  readonly kind: "callback" | "function" | null;
  readonly since: Date | null;
  readonly message: string;
};

/** What is known of one queue or function. */
export type QueueStanding = {
  readonly name: string;
  readonly kind: "callback" | "function";
  readonly hasUrl: boolean;
  readonly pausedAt: Date | null;
  readonly openAt: Date | null;
  /** Jobs that are due. */
  readonly due: number;
  readonly oldestDueAt: Date | null;
  /** Deliveries of the last minutes. */
  readonly recentEnded: number;
  readonly recentFailed: number;
  readonly recentFailedAt: Date | null;
};

export type Standing = {
  readonly now: Date;
  readonly held: boolean;
  readonly environment: string;
  /** Servers that are alive. */
  readonly nodes: number;
  readonly queues: readonly QueueStanding[];
  readonly troubles: readonly {
    readonly type: "app.unreachable" | "schedule.missed";
    readonly subject: string;
    readonly since: Date;
  }[];
};

/** Order of the list: what stops everything, then what stops some, then what somebody did on purpose. */
const ORDER: readonly Problem["type"][] = [
  "held",
  "nodes.none",
  "app.unreachable",
  "queue.failing",
  "queue.late",
  "queue.breaker",
  "schedule.missed",
  "queue.no_url",
  "queue.paused",
];

/** All that is wrong, the worst first, of one kind the oldest first. */
export function problemsOf({ now, held, environment, nodes, queues, troubles }: Standing): Problem[] {
  const found: Problem[] = [];
  const whole = { subject: null, kind: null, since: null } as const;
  if (held) {
    const message = `This database belongs to the environment ${environment}: nothing is delivered until \`rotor adopt\`.`;
    found.push({ ...whole, type: "held", severity: "error", message });
  }
  if (nodes === 0 && !held) {
    const message = "No server has a lease just now: nothing is delivered.";
    found.push({ ...whole, type: "nodes.none", severity: "error", message });
  }
  for (const { type, subject, since } of troubles) {
    const message =
      type === "app.unreachable"
        ? `The app “${subject}” cannot be reached. Its runs wait, and use no attempts.`
        : `The schedule “${subject}” has missed its time.`;
    found.push({ type, severity: "error", subject, kind: null, since, message });
  }
  for (const queue of queues) found.push(...problemsOfQueue(queue, now, held));
  const age = ({ since }: Problem): number => since?.getTime() ?? 0;
  return found.sort((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type) || age(a) - age(b));
}

function* problemsOfQueue(queue: QueueStanding, now: Date, held: boolean): Generator<Problem> {
  const { name, kind, recentEnded, recentFailed, due, oldestDueAt } = queue;
  const what = kind === "function" ? "function" : "queue";
  const of = { subject: name, kind } as const;
  if (recentEnded >= limits.failingDeliveries && recentFailed * 2 >= recentEnded) {
    const message = `Of the last ${recentEnded} deliveries of the ${what} “${name}”, ${recentFailed} failed.`;
    yield { ...of, type: "queue.failing", severity: "error", since: queue.recentFailedAt, message };
  }
  // Whatever is due in a queue that is shut waits for somebody to open it, not for a slot.
  if (queue.pausedAt !== null) {
    if (due === 0) return;
    const message = `The ${what} “${name}” is paused, and work is due in it.`;
    yield { ...of, type: "queue.paused", severity: "warning", since: queue.pausedAt, message };
  } else if (!queue.hasUrl) {
    if (due === 0) return;
    const message =
      kind === "function"
        ? `No app has the function “${name}” any more, and runs of it wait.`
        : `The queue “${name}” has no callback URL, and jobs wait in it.`;
    yield { ...of, type: "queue.no_url", severity: "warning", since: oldestDueAt, message };
  } else if (queue.openAt !== null) {
    // Of an app that is away, its own line says so.
    if (kind === "function") return;
    const message = `The breaker of the queue “${name}” is open: its endpoint failed too often in a row.`;
    yield { ...of, type: "queue.breaker", severity: "warning", since: null, message };
  } else if (!held && oldestDueAt !== null && now.getTime() - oldestDueAt.getTime() > limits.queueLateMs) {
    const message = `The ${what} “${name}” is late: its oldest due ${kind === "function" ? "run" : "job"} has not been started.`;
    yield { ...of, type: "queue.late", severity: "error", since: oldestDueAt, message };
  }
}
