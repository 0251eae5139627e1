/**
 * Locks on names that have no row: of events, signals and starts. Storing a wait and storing an event must not slip past each
 * other: whoever publishes holds the event's name alone, whoever stores a wait shares it. Taken first in a transaction.
 *
 * Lock order, everywhere: names (sorted), queue rows by id, job rows by id (parents and children among them), steps.
 */
import { type Queryable, sql } from "./db.js";

export type NameLock = { readonly name: string; readonly exclusive: boolean };

const exclusive = sql("names.exclusive", "select pg_advisory_xact_lock(hashtextextended($1, 0))");
const shared = sql("names.shared", "select pg_advisory_xact_lock_shared(hashtextextended($1, 0))");

/** The schema is part of the name: two of them in one database must not notice each other. */
export const eventName = (schema: string, workspace: string, event: string): string =>
  `${schema}/event/${workspace}/${event}`;
export const signalName = (schema: string, workspace: string, signal: string): string =>
  `${schema}/signal/${workspace}/${signal}`;
/** Of starts of a function that must not slip past each other: `what` is a singleton, a gathering or a key. */
export const startName = (schema: string, queueId: number, what: string, value: string): string =>
  `${schema}/start/${queueId}/${what}/${value}`;

/** Takes the locks in sorted order; an exclusive wish for a name wins over a shared one. */
export async function lockNames(t: Queryable, locks: readonly NameLock[]): Promise<void> {
  const wanted = new Map<string, boolean>();
  for (const lock of locks) wanted.set(lock.name, lock.exclusive || wanted.get(lock.name) === true);
  const sorted = [...wanted].sort(([a], [b]) => (a < b ? -1 : 1));
  await Promise.all(sorted.map(([name, alone]) => t.query(alone ? exclusive : shared, [name])));
}
