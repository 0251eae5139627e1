/**
 * What webhooks are told: the types of lifecycle events, and what each says of its subject. Pure. Payloads and outputs
 * are never part of it: an event is small, and whoever hears it may read the rest by the id.
 */
import type { WireError } from "@rotorsh/sdk/protocol";
import type { QueueKind, State } from "./job.js";
import { limits } from "./limits.js";

/** All types. Those of alerts come again with `.recovered` when what was wrong is over. */
export const LIFECYCLE_TYPES = [
  "job.completed",
  "job.failed",
  "job.stalled",
  "run.completed",
  "run.failed",
  "run.held",
  "approval.pending",
  "approval.approved",
  "approval.rejected",
  "queue.drained",
  "queue.error",
  "queue.late",
  "queue.late.recovered",
  "queue.failing",
  "queue.failing.recovered",
  "app.unreachable",
  "app.unreachable.recovered",
  "schedule.missed",
  "schedule.missed.recovered",
  "webhook.test",
] as const;

export type LifecycleType = (typeof LIFECYCLE_TYPES)[number];

/** Of a webhook that wants to hear of everything. */
export const EVERYTHING = "*";

/** True where a webhook with these types is told of this one. A test is told to whom it is for, whatever its types. */
export const wants = (types: readonly string[], type: LifecycleType): boolean =>
  types.includes(EVERYTHING) || types.includes(type);

/** What can happen to a job, before it is known whether it is a callback's or a run. */
export type Happening =
  | "completed"
  | "failed"
  | "stalled"
  | "held"
  | "undeliverable"
  | "pending"
  | "approved"
  | "rejected"
  | "lapsed";

/** Under which type it is told; undefined: of such a job it is not. */
export function typeOf(happening: Happening, kind: QueueKind): LifecycleType | undefined {
  const isRun = kind === "function";
  switch (happening) {
    case "completed":
      return isRun ? "run.completed" : "job.completed";
    case "failed":
      return isRun ? "run.failed" : "job.failed";
    case "stalled":
      return "job.stalled";
    case "held":
      return isRun ? "run.held" : undefined;
    case "undeliverable":
      // A run's own error may have any name.
      return isRun ? undefined : "queue.error";
    case "pending":
      return "approval.pending";
    case "approved":
      return "approval.approved";
    case "rejected":
      return "approval.rejected";
    case "lapsed":
      // A held run that nobody mended lapses, too; that it failed says all of it.
      return isRun ? undefined : "approval.rejected";
  }
}

/** How a delivery, or a job without one, ended. */
export type Ended = { readonly outcome: string; readonly state: State; readonly error: string | null };

/** All that is to be told of an end. */
export function happeningsOf({ outcome, state, error }: Ended): Happening[] {
  const all: Happening[] = [];
  if (outcome === "held") all.push("held");
  if (outcome === "orphaned" || (outcome === "expired" && !isLapse(error))) all.push("stalled");
  if (outcome === "rejected") all.push("rejected");
  if (outcome === "expired" && isLapse(error)) all.push("lapsed");
  if (outcome !== "completed" && isUndeliverable(error)) all.push("undeliverable");
  if (state === "completed" || state === "failed") all.push(state);
  return all;
}

/** Nobody decided in time. A delivery that outlived its limit expires, too, with another error. */
const isLapse = (error: string | null): boolean => error?.includes('"ExpiredError"') === true;

/**
 * No request could be made of the job and its queue's settings: a secret is gone, a header or a URL is none. Nothing that
 * a repetition mends, so the queue's owner is told.
 */
const isUndeliverable = (error: string | null): boolean =>
  error !== null && UNDELIVERABLE.some((part) => error.includes(part));
const UNDELIVERABLE = [
  '"name":"DeliveryError"',
  '"name":"UnknownSecretError"',
  '"name":"InvalidHeaderError"',
  '"code":"blocked"',
];

/** A job or run as the store knows it. */
export type JobFacts = {
  readonly id: string;
  /** The client's own id; ours begin with `rotor:` and are not told. */
  readonly key: string | null;
  readonly queue: string;
  readonly kind: QueueKind;
  readonly state: State;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly tags: readonly string[] | null;
  readonly createdAt: Date;
  readonly runAt: Date;
  readonly parentId: string | null;
  /** JSON text. */
  readonly error: string | null;
};

/** What an event about a job says. */
export function jobData(happening: Happening, job: JobFacts): Record<string, unknown> {
  const { name, value } = subjectOf(job);
  const subject = { [name]: value };
  switch (happening) {
    case "pending":
    case "approved":
      return { approval: { id: job.id, status: happening, reason: null }, ...subject };
    case "rejected":
    case "lapsed": {
      const status = happening === "lapsed" ? "expired" : "rejected";
      return { approval: { id: job.id, status, reason: errorOf(job.error)?.message ?? null }, ...subject };
    }
    case "undeliverable":
      return { queue: { name: job.queue, kind: job.kind }, ...subject };
    default:
      return subject;
  }
}

function subjectOf(job: JobFacts): { name: "job" | "run"; value: Record<string, unknown> } {
  const common = {
    id: job.id,
    job_id: job.key?.startsWith("rotor:") === true ? null : job.key,
    state: job.state,
    attempt: job.attempt,
    max_attempts: job.maxAttempts,
    tags: job.tags ?? [],
    error: errorOf(job.error),
    parent_id: job.parentId,
    created_at: job.createdAt.toISOString(),
    run_at: job.runAt.toISOString(),
  };
  return job.kind === "function"
    ? { name: "run", value: { function: job.queue, ...common } }
    : { name: "job", value: { queue: job.queue, ...common } };
}

/** Stacks and long messages stay behind. */
function errorOf(text: string | null): Pick<WireError, "name" | "message" | "code"> | null {
  if (text === null) return null;
  const { name, message, code } = JSON.parse(text) as WireError;
  return {
    name: String(name).slice(0, limits.nameLength),
    message: String(message).slice(0, limits.lifecycleMessageLength),
    ...(code === undefined ? {} : { code: String(code).slice(0, limits.nameLength) }),
  };
}

/** The body of a lifecycle event. Its id is that of the job that delivers it, the same on each attempt. */
export const lifecycleBody = (event: {
  readonly id: string;
  readonly type: LifecycleType;
  readonly createdAt: Date;
  readonly workspace: string;
  readonly data: Readonly<Record<string, unknown>>;
}): Buffer =>
  Buffer.from(
    JSON.stringify({
      id: event.id,
      type: event.type,
      created_at: event.createdAt.toISOString(),
      workspace: event.workspace,
      data: event.data,
    }),
  );
