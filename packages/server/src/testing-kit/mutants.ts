/**
 * Real databases with one thing changed: a statement's text (a mutant, to show that a test would notice), a stop before
 * or after a statement (to bring two real transactions into one order), a reply that is lost.
 */
import type { Db, Queryable, Statement, Transaction, Value } from "../store/db.js";

let made = 0;

/** What to do around one statement of a connection. */
type Around = (
  t: Queryable,
  statement: Statement,
  values: readonly Value[],
  run: () => Promise<unknown[]>,
) => Promise<unknown[]>;

function around(db: Db, act: Around): Db {
  const on = (inner: Queryable): Queryable => ({
    query: <Row>(statement: Statement, values: readonly Value[] = []) => {
      const rows = act(inner, statement, values, () => inner.query<Row>(statement, values)) as Promise<Row[]>;
      // Where nobody awaits it, its error is the transaction's.
      rows.catch(() => undefined);
      return rows;
    },
  });
  return { ...db, ...on(db), transact: (work, path) => db.transact((t) => work(on(t)), path) };
}

/** The test itself is wrong, such as a mutant that is none: it shows nothing. */
export class TestFault extends Error {}

/** The same database, whose statement of this name has another text. Throws where the change changes nothing. */
export function mutantDb(db: Db, name: string, change: (text: string) => string): Db {
  // A connection keeps one plan a name.
  const suffix = `~${++made}`;
  return around(db, (t, statement, values, run) => {
    if (statement.name !== name && !statement.name.startsWith(`${name}~`)) return run();
    const text = change(statement.text);
    if (text === statement.text) throw new TestFault(`The mutant of ${name} is the original.`);
    return t.query({ name: statement.name + suffix, text }, values);
  });
}

/** Where a transaction stops: after the statement of this name, or before its commit. */
export type Stop = { readonly after: string } | "commit";

/** A transaction that stands still until it is told to go on. */
export type Paused = {
  readonly db: Db;
  /** Resolves once the first transaction has come to the stop, with its backend's process id. */
  readonly reached: Promise<number>;
  /** Lets it, and all that come after it, go on. */
  go(): void;
};

/** A statement that is a transaction by itself where it is sent alone, and has a commit. */
const writes = ({ text }: Statement): boolean => /\b(insert into|update|delete from) rotor\./.test(text);

const backend = { name: "mutants.backend", text: "select pg_backend_pid() as pid" };

/** The same database, on which the first transaction to come there stops after this statement, or before its commit. */
export function pausedDb(db: Db, stop: Stop): Paused {
  let arrive: (pid: number) => void = () => undefined;
  let go: () => void = () => undefined;
  const reached = new Promise<number>((resolve) => {
    arrive = resolve;
  });
  const gone = new Promise<void>((resolve) => {
    go = resolve;
  });
  const halt = async (t: Queryable): Promise<void> => {
    const [row] = await t.query<{ pid: number }>(backend);
    arrive(row!.pid);
    await gone;
  };
  const paused: Db =
    stop === "commit"
      ? {
          ...db,
          query: <Row>(statement: Statement, values: readonly Value[] = []) =>
            writes(statement)
              ? paused.transact((t) => t.query<Row>(statement, values), "hot")
              : db.query<Row>(statement, values),
          transact: (work, path) =>
            db.transact(async (t) => {
              const result = await work(t);
              await halt(t);
              return result;
            }, path),
        }
      : around(db, async (t, statement, _values, run) => {
          const rows = await run();
          if (statement.name === stop.after || statement.name.startsWith(`${stop.after}~`)) await halt(t);
          return rows;
        });
  return { db: paused, reached, go };
}

/** The same database, whose first commit happens although its reply is lost. */
export function lostReplyDb(db: Db): Db {
  let lost = false;
  return {
    ...db,
    async query<Row>(statement: Statement, values?: readonly Value[]): Promise<Row[]> {
      const rows = await db.query<Row>(statement, values);
      if (lost || !writes(statement)) return rows;
      lost = true;
      throw new Error("Connection terminated unexpectedly");
    },
    async transact<T>(work: (t: Transaction) => Promise<T>, path?: "hot"): Promise<T> {
      const result = await db.transact(work, path);
      if (lost) return result;
      lost = true;
      throw new Error("Connection terminated unexpectedly");
    },
  };
}

const blocked = {
  name: "mutants.blocked",
  text: "select 1 from pg_stat_activity where $1::int = any(pg_blocking_pids(pid)) limit 1",
};

/** Resolves once `work` has ended, or stands in line for a lock of the backend `pid`: asked of Postgres, not of a clock. */
export async function endedOrBlocked(db: Db, pid: number, work: Promise<unknown>): Promise<"ended" | "blocked"> {
  let ended = false;
  const mark = (): void => {
    ended = true;
  };
  work.then(mark, mark);
  while (!ended) {
    if ((await db.query(blocked, [pid])).length > 0) return "blocked";
  }
  return "ended";
}

const waiting = {
  name: "mutants.waiting",
  text: "select count(*)::int as count from pg_stat_activity where wait_event_type = 'Lock' and position($1 in query) > 0",
};

/** Resolves once so many statements on this schema's tables stand in line for a lock. */
export async function untilBlocked(db: Db, count: number): Promise<void> {
  for (;;) {
    const [row] = await db.query<{ count: number }>(waiting, [`${db.schema}.`]);
    if (row!.count >= count) return;
  }
}
