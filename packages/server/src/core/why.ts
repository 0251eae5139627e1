/**
 * Why does it not move? The facts around a job, put into words: what it waits for, since and until when, who blocks it,
 * and the command that unblocks it. Pure; one row a reason.
 */
import { formatDuration } from "@rotorsh/sdk/duration";
import type { Match, MatchedEvent } from "./match.js";
import { type Difference, differences } from "./near-miss.js";
import { ONE_FOR_ALL } from "./rate-key.js";

type Awaited = Match & { readonly event?: string; readonly signal?: string };

/** What is read of a job's surroundings. */
export type WhyFacts = {
  readonly now: Date;
  readonly dueAt: Date | null;
  readonly heldAt: Date | null;
  readonly concurrency: number | null;
  readonly active: number;
  /** Slots of a strict queue whose job has left; see `store/slots.ts`. */
  readonly lingering: number;
  readonly pausedAt: Date | null;
  readonly failures: number;
  readonly openAt: Date | null;
  readonly rateOpenAt: Date | null;
  readonly rateLimit: number | null;
  readonly ratePeriodMs: number | null;
  readonly rateKey: string | null;
  readonly app: string | null;
  readonly appUrl: string | null;
  readonly unreachableSince: Date | null;
  /** The key that it is blocked on. */
  readonly keyId: number | null;
  readonly keyName: string | null;
  /** Its limit is its function's, in code. */
  readonly functionKey: boolean | null;
  readonly keyLimit: number | null;
  readonly lastOutcome: string | null;
  readonly lastStatus: number | null;
  /** JSON text. */
  readonly lastError: string | null;
  readonly lastEndedAt: Date | null;
  /** Due jobs of its queue that are due before it, counted up to 1,000. */
  readonly ahead: number;
  readonly nodes: number;
  /** The database belongs to another environment. */
  readonly held: boolean;
  /** Its first unfinished step. */
  readonly stepKey: string | null;
  readonly stepKind: string | null;
  readonly wait: (Awaited & { readonly job?: string }) | null;
  /** The events and signals that it waits for; `name` is that of a part, and null where there is only one. */
  readonly parts: readonly { readonly name: string | null; readonly wait: Awaited }[];
  readonly askedAt: Date | null;
  /** Who has the slots, or the key's turns: up to ten. */
  readonly holders: readonly { readonly id: string; readonly queue: string; readonly until: Date | null }[];
  /** The last events of each name that it waits for, the newest first. */
  readonly events: readonly (MatchedEvent & { readonly receivedAt: Date })[];
};

/** The job itself, as its view has it. */
export type WhyJob = {
  readonly id: string;
  readonly kind: "callback" | "function";
  readonly queue: string;
  readonly state: string;
  readonly reason: string | null;
  readonly until: Date | null;
  readonly deadlineAt: Date | null;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
};

export type Explanation = {
  /** One sentence for a person. */
  readonly sentence: string;
  readonly since: Date | null;
  readonly until: Date | null;
  /** Commands that unblock it, the most fitting first; none where only time does. */
  readonly unblock: readonly string[];
  /** Who is in its way. */
  readonly blockedBy: WhyFacts["holders"];
  /** Of a wait for an event: events of that name that did not match, and in what they differ. */
  readonly nearMisses: readonly {
    readonly id: string;
    readonly receivedAt: Date;
    /** The part whose condition it did not meet; null where the wait has no parts. */
    readonly part: string | null;
    readonly differences: readonly Difference[];
  }[];
};

const nothing = { unblock: [], blockedBy: [], nearMisses: [] } as const;

/** A text as one word of a shell. */
const word = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Names as the operands that end a command; one that begins as a flag does is told from one. */
const operands = (...texts: readonly string[]): string =>
  [...(texts.some((text) => text.startsWith("-")) ? ["--"] : []), ...texts.map(word)].join(" ");

/** Explains one job. */
export function explain(job: WhyJob, facts: WhyFacts): Explanation {
  const explained = reasonOf(job, facts);
  if (job.deadlineAt === null || job.finishedAt !== null) return explained;
  const at = ` ${span(job.deadlineAt.getTime() - facts.now.getTime())} (${job.deadlineAt.toISOString()})`;
  return { ...explained, sentence: `${explained.sentence} Its function's timeout ends it${at} at the latest.` };
}

function reasonOf(job: WhyJob, facts: WhyFacts): Explanation {
  const { until } = job;
  const base = { ...nothing, until, since: facts.dueAt };
  const thing = job.kind === "function" ? "run" : "job";
  const queues = job.kind === "function" ? "functions" : "queues";
  const name = word(job.queue);
  const inTime = (at: Date | null): string =>
    at === null ? "" : ` ${span(at.getTime() - facts.now.getTime())} (${at.toISOString()})`;
  const last = errorText(facts);
  if (job.state === "active")
    return {
      ...base,
      since: null,
      until: facts.dueAt,
      sentence: `It moves: attempt ${job.attempt} of ${job.maxAttempts} is under way${facts.dueAt === null ? "" : facts.dueAt < facts.now ? ", and past its time: it is given up within seconds" : `, and may take until ${facts.dueAt.toISOString()}`}.`,
    };
  if (job.reason === null) return { ...base, since: job.finishedAt, until: null, ...ended(job, last) };
  switch (job.reason) {
    case "approval":
      return {
        ...base,
        since: job.createdAt,
        sentence: `It waits for somebody to approve it; without an answer it fails${inTime(until)}.`,
        unblock: [`rotor approvals approve ${job.id}`, `rotor approvals reject ${job.id}`],
      };
    case "held":
      return {
        ...base,
        since: facts.heldAt,
        sentence: `It is held${last === undefined ? "" : `: ${last}`}. Left so, it fails${inTime(until)}.`,
        unblock: [`rotor runs resume ${job.id}`, `rotor runs cancel ${job.id}`],
      };
    case "no_url":
      return {
        ...base,
        since: job.createdAt,
        until: null,
        ...(job.kind === "function"
          ? {
              sentence: `No app serves the function ${job.queue} any more: there is nowhere to send it.`,
              unblock: ["rotor functions sync <url>"],
            }
          : {
              sentence: `The queue ${job.queue} has no callback_url: there is nowhere to send it.`,
              unblock: [`rotor queues update ${name} --callback-url <url>`],
            }),
      };
    case "paused":
      return {
        ...base,
        since: facts.pausedAt,
        until: null,
        sentence: `The ${queues === "queues" ? "queue" : "function"} ${job.queue} is paused since ${facts.pausedAt?.toISOString()}.`,
        unblock: [`rotor ${queues} resume ${name}`],
      };
    case "breaker":
      return {
        ...base,
        sentence: `The breaker of ${job.queue} is open after ${facts.failures} failures in a row${last === undefined ? "" : ` (${last})`}: one job is sent to try the endpoint${inTime(facts.openAt)}.`,
        unblock: [`rotor queues update ${name} --no-breaker`],
      };
    case "unreachable":
      return {
        ...base,
        since: facts.unreachableSince,
        sentence: `The app ${facts.app} at ${facts.appUrl} cannot be reached since ${facts.unreachableSince?.toISOString() ?? "a moment ago"}${last === undefined ? "" : ` (${last})`}; it is tried again${inTime(until)}. This costs the run no attempt.`,
        unblock: [`rotor functions sync ${facts.appUrl === null ? "<url>" : word(facts.appUrl)}`],
      };
    case "rate_limited":
      return {
        ...base,
        sentence: `The rate limit of ${job.queue}, ${facts.rateLimit} in ${formatDuration(facts.ratePeriodMs ?? 0)}${facts.keyName === null || facts.rateKey === ONE_FOR_ALL ? "" : ` for each ${facts.rateKey}, here ${facts.keyName}`}, is used up; it ${job.kind === "function" ? "begins" : "goes on"}${inTime(until)}.`,
        unblock:
          job.kind === "function"
            ? []
            : [
                `rotor queues update ${name} --rate-limit <limit>/<period>${facts.rateKey === null ? "" : ` --rate-key ${word(facts.rateKey)}`}`,
              ],
      };
    case "key_blocked":
      return {
        ...base,
        until: null,
        sentence: `Of its concurrency key ${facts.keyName} ${facts.keyLimit === 1 ? `one ${thing}` : `${facts.keyLimit} ${thing}s`} may be active at a time, and ${who(facts.holders)}.`,
        blockedBy: facts.holders,
        unblock: facts.functionKey
          ? facts.holders.slice(0, 1).map((holder) => `rotor runs cancel ${holder.id}`)
          : [
              `rotor concurrency-keys set --limit <n> ${operands(facts.keyName ?? "")}`,
              ...facts.holders.slice(0, 1).map((holder) => `rotor jobs cancel ${word(holder.queue)} ${holder.id}`),
            ],
      };
    case "retrying":
      return {
        ...base,
        since: facts.lastEndedAt ?? facts.askedAt,
        sentence:
          facts.stepKind === "run"
            ? `Its step ${facts.stepKey} failed and is tried again${inTime(until)}.`
            : `Attempt ${Math.min(job.attempt + 1, job.maxAttempts)} of ${job.maxAttempts} follows${inTime(until)}${last === undefined ? "" : `: ${last}`}.`,
        unblock: [
          ...missingSecret(job, facts),
          ...(job.kind === "callback" ? [`rotor jobs update ${name} ${job.id} --delay 0s`] : []),
        ],
      };
    case "delayed":
      return {
        ...base,
        since: job.createdAt,
        sentence: `It is to start${inTime(until)}.`,
        unblock: job.kind === "callback" ? [`rotor jobs update ${name} ${job.id} --delay 0s`] : [],
      };
    case "sleeping":
      return { ...base, since: facts.askedAt, sentence: `It sleeps in ${facts.stepKey}, and wakes${inTime(until)}.` };
    case "event": {
      const missed = near(facts);
      const names = new Set(facts.parts.map(({ wait }) => wait.event).filter((each) => each !== undefined));
      const what = facts.parts.map(({ name, wait }) => (name === null ? awaited(wait) : `${name} (${awaited(wait)})`));
      return {
        ...base,
        since: facts.askedAt,
        sentence: `It waits in ${facts.stepKey} for ${what.length > 1 ? "the first of " : ""}${what.join(", ")}; without it, it goes on${inTime(until)}.${missed.length === 0 ? "" : ` ${missed.length} of the last events of ${names.size > 1 ? "those names" : "that name"} did not match.`}`,
        unblock: facts.parts.map(({ wait }) =>
          wait.signal === undefined
            ? `rotor send ${operands(wait.event ?? "")} '{…}'`
            : `rotor signals complete ${operands(wait.signal)}`,
        ),
        nearMisses: missed,
      };
    }
    case "signal":
      return {
        ...base,
        since: facts.askedAt,
        sentence: `It waits in ${facts.stepKey} for the signal ${facts.wait?.signal}; without it, the step fails${inTime(until)}.`,
        unblock: [`rotor signals complete ${operands(facts.wait?.signal ?? "")}`],
      };
    case "child":
      return {
        ...base,
        since: facts.askedAt,
        sentence: `It waits in ${facts.stepKey} for ${facts.wait?.job ?? "what it started"} to end; its patience ends${inTime(until)}.`,
        unblock: facts.wait?.job === undefined ? [] : [`rotor why ${facts.wait.job}`],
      };
    default:
      return { ...base, until: null, ...queued(job, facts, thing) };
  }
}

/** Due, and not claimed: somebody has its slot, or nobody is there to claim it. */
function queued(job: WhyJob, facts: WhyFacts, thing: string): Pick<Explanation, "sentence" | "blockedBy" | "unblock"> {
  if (facts.held)
    return {
      sentence: "Nothing is delivered: this database belongs to another environment than its server's.",
      blockedBy: [],
      unblock: ["rotor adopt --release"],
    };
  if (facts.nodes === 0)
    return { sentence: "No server is running that could deliver it.", blockedBy: [], unblock: ["rotor start"] };
  const ahead = `${facts.ahead >= 1_000 ? "1,000 or more" : facts.ahead} ${facts.ahead === 1 ? "is" : "are"} due before it`;
  const taken = facts.active + facts.lingering;
  if (facts.concurrency !== null && taken >= facts.concurrency)
    return {
      sentence: `All ${facts.concurrency} slots of ${job.queue} are taken${facts.lingering > 0 ? ` (${facts.lingering} by deliveries that were cut off and may be at work still)` : ""}; ${ahead}.`,
      blockedBy: facts.holders,
      unblock: job.kind === "callback" ? [`rotor queues update ${word(job.queue)} --concurrency <n>`] : [],
    };
  return {
    sentence: `It is due, and the next ${thing} to be claimed from ${job.queue}: ${ahead}.`,
    blockedBy: [],
    unblock: [],
  };
}

function ended(job: WhyJob, last: string | undefined): Pick<Explanation, "sentence" | "unblock"> {
  if (job.state === "failed")
    return {
      sentence: `It failed for good${last === undefined ? "" : `: ${last}`}.`,
      unblock: [`rotor dlq replay ${job.id}`],
    };
  return { sentence: `It is ${job.state}.`, unblock: [] };
}

const who = (holders: WhyFacts["holders"]): string =>
  holders.length === 0
    ? "others come first"
    : `${holders[0]!.id} of ${holders[0]!.queue}${holders.length > 1 ? ` and ${holders.length - 1} more` : ""} ${holders.length > 1 ? "have" : "has"} it`;

/** An event with its condition, or a signal, in words. */
function awaited(wait: Awaited): string {
  if (wait.signal !== undefined) return `the signal ${wait.signal}`;
  const condition = wait.cel ?? (wait.equals === undefined ? undefined : JSON.stringify(wait.equals));
  return `the event ${wait.event}${condition === undefined ? "" : ` where ${condition}`}`;
}

const near = ({ parts, events }: WhyFacts): Explanation["nearMisses"] =>
  events.flatMap((event) =>
    parts.flatMap(({ name, wait }) => {
      const found = wait.event === event.name ? differences(wait, event) : undefined;
      return found === undefined
        ? []
        : [{ id: event.id, receivedAt: event.receivedAt, part: name, differences: found }];
    }),
  );

/** Another attempt is of no use before the secret is there; the error's own sentence names it. */
function missingSecret(job: WhyJob, { lastError }: WhyFacts): string[] {
  if (job.kind !== "callback" || lastError === null) return [];
  const { name, message } = JSON.parse(lastError) as { name?: unknown; message?: unknown };
  if (name !== "UnknownSecretError" || typeof message !== "string") return [];
  return /`(rotor secrets set \w+)`/.exec(message)?.slice(1) ?? [];
}

function errorText({ lastError }: WhyFacts): string | undefined {
  if (lastError === null) return undefined;
  const { message } = JSON.parse(lastError) as { message?: unknown };
  return typeof message === "string" ? message.replace(/\.$/, "") : undefined;
}

/** Units, each up to where the next one reads better. */
const UNITS = [
  ["s", 1_000, 120],
  ["m", 60_000, 120],
  ["h", 3_600_000, 48],
  ["d", 86_400_000, Number.POSITIVE_INFINITY],
] as const;

/** `in 41s`, `in 5m`; what is past is now. */
function span(ms: number): string {
  if (ms <= 0) return "now";
  const [unit, unitMs] = UNITS.find(([, size, most]) => ms / size < most)!;
  return `in ${ms < 10_000 ? (ms / 1_000).toFixed(1) : Math.round(ms / unitMs)}${unit}`;
}
