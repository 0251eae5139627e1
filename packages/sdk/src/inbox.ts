/**
 * The third door, `@rotorsh/sdk/inbox`: jobs and events inside your own database transaction, with the library that you
 * use already. A row in `rotor.inbox` commits or rolls back with your own rows; Rotor moves it at most 200 ms later. How
 * a transaction of each library is recognized and asked is in `inbox-transaction.ts`.
 */

import { toSnakeCase } from "./client/case.js";
import type { SendableEvent } from "./client/events.js";
import type { JobOptions } from "./client/jobs.js";
import { nextIdInStep } from "./context.js";
import { uuidv7 } from "./ids.js";
import { type InboxTransaction, runIn } from "./inbox-transaction.js";
import { RotorInputError } from "./input-error.js";

export type { InboxTransaction } from "./inbox-transaction.js";

export type InboxOptions = {
  /** The server's `ROTOR_SCHEMA` (default `rotor`). */
  readonly schema?: string;
  /** Default `default`. */
  readonly workspace?: string;
};

/** A job's options are those of `rotor.jobs.enqueue`. Its id is yours, or made here. */
export type EnqueuedIn = { readonly jobId: string };
export type SentIn = { readonly id: string };

/** A statement with its one parameter, for libraries that are not among those known: `$1` stands for `values[0]`. */
export type InboxStatement = { readonly text: string; readonly values: readonly [string] };

/**
 * Enqueues a job in your transaction: there is a job if, and only if, it commits. What Rotor has against it (no such
 * queue, an option that cannot be) is known only after that, and shown among the dead letters. An id makes your own retry
 * harmless: where a first try did commit, the second enqueues nothing.
 * @param tx the transaction of `pg` (a client), Drizzle, Kysely, Knex, Prisma, postgres.js or TypeORM. A pool, or a
 *   library's root object, is refused: it would write outside of your transaction.
 * @throws RotorInputError for what cannot be written, before anything is sent, so that your transaction stays whole.
 */
export async function enqueueIn(
  tx: InboxTransaction,
  queue: string,
  job: JobOptions = {},
  options: InboxOptions = {},
): Promise<EnqueuedIn> {
  return (await enqueueBatchIn(tx, queue, [job], options))[0]!;
}

/** Several jobs with one statement, in their order. */
export async function enqueueBatchIn(
  tx: InboxTransaction,
  queue: string,
  jobs: readonly JobOptions[],
  options: InboxOptions = {},
): Promise<EnqueuedIn[]> {
  const named = jobs.map((job) => ({ ...job, jobId: idOf(job.jobId) }));
  if (named.length > 0) await runIn(tx, enqueueStatement(queue, named, options));
  return named.map(({ jobId }) => ({ jobId }));
}

/** Publishes an event in your transaction, or several: their runs start if, and only if, it commits. Otherwise as `enqueueIn`. */
export async function sendIn(tx: InboxTransaction, event: SendableEvent, options?: InboxOptions): Promise<SentIn>;
export async function sendIn(
  tx: InboxTransaction,
  events: readonly SendableEvent[],
  options?: InboxOptions,
): Promise<SentIn[]>;
export async function sendIn(
  tx: InboxTransaction,
  events: SendableEvent | readonly SendableEvent[],
  options: InboxOptions = {},
): Promise<SentIn | SentIn[]> {
  const one = "name" in events;
  const named = (one ? [events] : events).map((event) => ({ ...event, id: idOf(event.id) }));
  if (named.length > 0) await runIn(tx, sendStatement(named, options));
  const sent = named.map(({ id }) => ({ id }));
  return one ? sent[0]! : sent;
}

/** What `enqueueBatchIn` runs, for a library that it does not know. Jobs without an id get none: a repeat enqueues again. */
export const enqueueStatement = (
  queue: string,
  jobs: readonly JobOptions[],
  options: InboxOptions = {},
): InboxStatement =>
  statement(
    jobs.map(({ payload, jobId, ...rest }) => ({
      kind: "job",
      target: nameOf(queue),
      id: jobId,
      payload,
      options: rest,
    })),
    options,
  );

/** What `sendIn` runs, for a library that it does not know. */
export const sendStatement = (events: readonly SendableEvent[], options: InboxOptions = {}): InboxStatement =>
  statement(
    events.map(({ name, data, id, ...rest }) => ({
      kind: "event",
      target: nameOf(name),
      id,
      payload: data,
      options: rest,
    })),
    options,
  );

type Row = {
  readonly kind: "job" | "event";
  readonly target: string;
  readonly id: string | undefined;
  readonly payload: unknown;
  readonly options: Readonly<Record<string, unknown>>;
};

const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;

/** In JSON as `JSON.stringify` writes it: the escape of a character that Postgres cannot read, or of half a pair. */
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/**
 * All rows go as one text: libraries agree on no other type, and a payload keeps its own text. The role `rotor_producer`
 * may do this: nothing is read.
 */
function statement(rows: readonly Row[], { schema = "rotor", workspace = "default" }: InboxOptions): InboxStatement {
  if (!SCHEMA.test(schema)) throw new RotorInputError(`schema: ${JSON.stringify(schema)} is no name of a Rotor schema`);
  const text = JSON.stringify(
    rows.map(({ payload, options, ...row }) => ({
      ...row,
      workspace,
      payload: payload === undefined ? null : payload,
      options: toSnakeCase(options),
    })),
  );
  if (UNSTORABLE.test(text)) {
    throw new RotorInputError(
      '"\\u0000" and halves of surrogate pairs cannot be stored: leave them out or encode them',
    );
  }
  return {
    text: `insert into ${schema}.inbox (workspace_id, kind, target, id, payload, options) select item ->> 'workspace', item ->> 'kind', item ->> 'target', item ->> 'id', item -> 'payload', (item ->> 'options')::jsonb from json_array_elements($1::text::json) as item`,
    values: [text],
  };
}

// Taken when the call is made, before anything is awaited: so the order of calls gives the ids.
const idOf = (given: string | undefined): string => given ?? nextIdInStep() ?? uuidv7();

function nameOf(name: unknown): string {
  if (typeof name === "string" && name !== "") return name;
  throw new RotorInputError(`${JSON.stringify(name)} cannot be a name of a queue or an event`);
}
