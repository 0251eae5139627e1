/**
 * Connections, transactions and statements. Knows how SQL is sent, nothing of what it says.
 */
import pg from "pg";
import { limits } from "../core/limits.js";
import { encoded, encodersOf } from "./arrays.js";
import { sendTogether } from "./together.js";

/** A static text with a name of its own, so that Postgres parses it once a connection. Write `rotor.` for the schema. */
export type Statement = { readonly name: string; readonly text: string; readonly hot?: true };

const names = new Set<string>();

/** Declares a statement. Names are unique, since a connection keeps one plan for each. */
export function sql(name: string, text: string): Statement {
  if (names.has(name)) throw new Error(`Two statements are named ${name}.`);
  names.add(name);
  return { name, text };
}

/**
 * Declares a statement of the hot path. It is planned once a connection, for any values, and reads by indexes only: planning
 * it anew each time took as long as running it. Nothing for statements whose filters may be left out.
 */
export const hot = (name: string, text: string): Statement => ({ ...sql(name, text), hot: true });

/** What a parameter may be. Arrays become Postgres arrays. */
export type Value =
  | string
  | number
  | boolean
  | null
  | Buffer
  | Date
  | readonly (string | number | boolean | null | Buffer)[];

/**
 * A column of items for `unnest` with several arrays: left empty where all of it is null, since unnest fills up the shorter
 * ones with nulls. Writing and reading a thousand nulls takes as long as a thousand values.
 */
export function sparse<Item, Of extends string | number | boolean>(
  items: readonly Item[],
  read: (item: Item) => Of | null | undefined,
): readonly (Of | null)[] {
  let column: (Of | null)[] | undefined;
  for (let n = 0; n < items.length; n++) {
    const value = read(items[n]!) ?? null;
    if (column === undefined) {
      if (value === null) continue;
      column = new Array<Of | null>(items.length).fill(null);
    }
    column[n] = value;
  }
  return column ?? [];
}

/** Something that runs statements: the pool, or one open transaction. */
export type Queryable = {
  query<Row>(statement: Statement, values?: readonly Value[]): Promise<Row[]>;
  /** The same for a pool and all its transactions: what is remembered of a database is remembered by it. */
  readonly origin?: object;
  /** Says something to who runs the server that is no error of the caller. */
  readonly warn?: (message: string) => void;
};

/**
 * An open transaction on a connection of its own. Statements issued without awaiting leave in one packet; those that are
 * not awaited at the end of `work` leave together with COMMIT, and their errors are the transaction's. Where nothing is awaited,
 * all of it is one message (`together.ts`).
 */
export type Transaction = Queryable;

export type Db = Queryable & {
  readonly schema: string;
  /**
   * Runs `work` between BEGIN and COMMIT; again, if Postgres broke it up over a deadlock. An error rolls back and is thrown on. A connection lost at COMMIT leaves the
   * outcome unknown: the error is thrown, and the caller's fence makes a repetition harmless. On the `hot` path all of its
   * statements are planned as `hot` ones are.
   */
  transact<T>(work: (t: Transaction) => Promise<T>, path?: "hot"): Promise<T>;
  /** Runs a text of several statements, unnamed: for migrations and tests. */
  script(text: string): Promise<pg.QueryResult>;
  /** A connection outside the pool, for what must not queue behind work: leases, listening. */
  connect(): Promise<pg.Client>;
  /** How many connections each pool has, and how many callers wait for one. */
  pools(): { readonly pool: string; readonly total: number; readonly idle: number; readonly waiting: number }[];
  /** Puts the schema's name into a text. */
  resolve(text: string): string;
  close(): Promise<void>;
};

export type DbOptions = {
  readonly url: string;
  /** Name of the schema that holds everything. Default `rotor`. */
  readonly schema?: string;
  readonly maxConnections?: number;
  readonly onError?: (error: Error) => void;
  readonly onWarning?: (message: string) => void;
};

const DEADLOCK_TRIES = 3;
/** deadlock_detected, serialization_failure. */
const BROKEN_UP = new Set(["40P01", "40001"]);

const IN_FAILED_TRANSACTION = "25P02";

const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * Of each session. Nothing that a server does reads a table from end to end: said so, since Postgres takes tables whose rows
 * it has not counted yet for small ones, and a plan may outlive that. Time limits, so that nothing waits for ever for a lock
 * or an answer.
 */
const SETTINGS = {
  timezone: "UTC",
  jit: "off",
  enable_seqscan: "off",
  statement_timeout: limits.statementTimeoutMs,
  lock_timeout: limits.lockTimeoutMs,
  idle_in_transaction_session_timeout: limits.statementTimeoutMs,
};

type PlanCache = "force_custom_plan" | "force_generic_plan";

/** Said once a session is there, and not with its start: poolers refuse that, or drop it. */
const prepareSession = async (client: pg.ClientBase, plan_cache_mode: PlanCache): Promise<void> => {
  const all = Object.entries({ ...SETTINGS, plan_cache_mode });
  await client.query(all.map(([name, value]) => `set ${name} = '${value}'`).join("; "));
};

/**
 * Opens two pools. The schema's name is checked, and put into each text once: the only interpolation there is.
 * One pool plans each statement for its values: plans made while a table was empty, or for filters that are left out, ran at
 * half speed. The other is for the hot path; see `hot`.
 */
export function openDb(options: DbOptions): Db {
  const schema = options.schema ?? "rotor";
  if (!SCHEMA.test(schema)) throw new Error(`ROTOR_SCHEMA must match ${SCHEMA.source}; got ${JSON.stringify(schema)}.`);
  const resolved = new Map<string, string>();
  const resolve = (text: string): string => {
    let made = resolved.get(text);
    if (made === undefined) {
      made = text.replaceAll(/\brotor\./g, `${schema}.`);
      resolved.set(text, made);
    }
    return made;
  };
  const warn = (message: string): void => options.onWarning?.(message);
  const config: pg.ClientConfig = {
    connectionString: options.url,
    application_name: "rotor",
    keepAlive: true,
    keepAliveInitialDelayMillis: limits.idleProbeMs,
    connectionTimeoutMillis: limits.connectTimeoutMs,
    query_timeout: limits.statementTimeoutMs + 5_000,
  };
  const max = options.maxConnections ?? limits.connections;
  const open = (most: number, plans: PlanCache) =>
    new pg.Pool({
      ...config,
      ...PIPELINED,
      max: most,
      idleTimeoutMillis: limits.idleConnectionMs,
      onConnect: (client) => prepareSession(client, plans),
    });
  const pool = open(max, "force_custom_plan");
  // A single connection may have state of its own: then it serves both.
  const hotPool = max === 1 ? pool : open(Math.min(max, limits.hotConnections), "force_generic_plan");
  let closing = false;
  // Connections that break while all are being closed are no news.
  const report = (error: Error): void => {
    if (!closing) options.onError?.(error);
  };
  const pools = new Set([pool, hotPool]);
  for (const each of pools) {
    // An idle connection that breaks is replaced by the pool; without a listener the process would end.
    each.on("error", report);
    // One that breaks in somebody's hands fails his statements, which tells him; the pool does not listen to it meanwhile.
    each.on("connect", (client) => client.on("error", () => undefined));
  }

  const configOf = (statement: Statement, values: readonly Value[]): pg.QueryConfig => ({
    name: statement.name,
    text: resolve(statement.text),
    values: encoded(encodersOf(statement.text), values),
  });
  const run = async <Row>(client: pg.Pool | pg.ClientBase, statement: Statement, values: readonly Value[]) =>
    (await client.query(configOf(statement, values))).rows as Row[];

  const once = async <T>(work: (t: Transaction) => Promise<T>, path?: "hot"): Promise<T> => {
    const client = await (path === "hot" ? hotPool : pool).connect();
    const together = corked(client);
    const sent: Promise<unknown>[] = [];
    /** Whoever does not await a statement is told of its error by the transaction's. */
    const note = <R>(result: Promise<R>): Promise<R> => {
      result.catch(() => undefined);
      sent.push(result);
      return result;
    };
    /** What has been asked for, and not sent: if that is all there is, it goes as one. */
    let held: Held[] | undefined = [];
    let begun = false;
    const begin = (): void => {
      if (held === undefined) return;
      const all = held;
      held = undefined;
      begun = true;
      together();
      note(client.query("begin"));
      for (const { config, resolve: answer, reject } of all)
        client.query(config).then(({ rows }) => answer(rows), reject);
    };
    let broken: Error | undefined;
    try {
      whenIdle(begin);
      const result = await work({
        query: <Row>(statement: Statement, values: readonly Value[] = []) => {
          if (held === undefined) {
            together();
            return note(run<Row>(client, statement, values));
          }
          const mine = held;
          return note(
            new Promise<Row[]>((answer, reject) => {
              mine.push({ config: configOf(statement, values), resolve: answer as Held["resolve"], reject });
            }),
          );
        },
        origin: pool,
        warn,
      });
      if (held !== undefined) {
        const all: Held[] = held;
        held = undefined;
        if (all.length > 0) await sendHeld(client, all);
        return result;
      }
      together();
      const committed = await client.query("commit");
      if (committed.command !== "COMMIT") {
        await Promise.all(sent);
        throw new Error("The transaction was rolled back: a statement in it failed.");
      }
      return result;
    } catch (error) {
      held = undefined;
      try {
        // What went as one is over; the connection may be, too.
        await client.query(begun ? "rollback" : "");
      } catch (lost) {
        broken = lost as Error;
      }
      throw await firstError(error, sent);
    } finally {
      client.release(broken);
    }
  };

  /** Postgres broke a deadlock, or a conflict, in favour of another: nothing of this one happened. */
  const retried = async <T>(work: () => Promise<T>): Promise<T> => {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries >= DEADLOCK_TRIES || !BROKEN_UP.has((error as { code?: string }).code ?? "")) throw error;
      }
    }
  };

  return {
    query: (statement, values = []) => retried(() => run(statement.hot ? hotPool : pool, statement, values)),
    origin: pool,
    warn,
    schema,
    resolve,
    transact: (work, path) => retried(() => once(work, path)),
    script: (text) => pool.query(resolve(text)),
    pools: () =>
      [...pools].map((each) => ({
        pool: each === pool ? "custom" : "hot",
        total: each.totalCount,
        idle: each.idleCount,
        waiting: each.waitingCount,
      })),
    async connect() {
      const client = new pg.Client(config);
      client.on("error", report);
      await client.connect();
      try {
        await prepareSession(client, "force_custom_plan");
      } catch (error) {
        await client.end();
        throw error;
      }
      return client;
    },
    async close() {
      closing = true;
      await Promise.all([...pools].map((each) => each.end()));
    },
  };
}

/**
 * A transaction of the hot path whose statements need nothing of each other's answers: they leave together with BEGIN and
 * COMMIT, in one round trip. Answers what each of them answered.
 */
export async function atOnce<T extends readonly Promise<unknown>[]>(
  db: Db,
  send: (t: Transaction) => readonly [...T],
): Promise<{ -readonly [Index in keyof T]: Awaited<T[Index]> }> {
  // Not awaited within: in an object, or the promise of the transaction would wait for them.
  const sent = await db.transact(async (t) => {
    const all = send(t);
    for (const one of all) one.catch(() => undefined);
    return { all };
  }, "hot");
  return (await Promise.all(sent.all)) as { -readonly [Index in keyof T]: Awaited<T[Index]> };
}

/** Of an aborted transaction: what aborted it, where that was a statement that nobody awaited. */
async function firstError(error: unknown, sent: readonly Promise<unknown>[]): Promise<unknown> {
  if ((error as { code?: string }).code !== IN_FAILED_TRANSACTION) return error;
  const results = await Promise.allSettled(sent);
  const errors = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason as { code?: string }] : [],
  );
  return errors.find(({ code }) => code !== IN_FAILED_TRANSACTION) ?? error;
}

/** A statement that was asked for, before it is sent. */
type Held = {
  readonly config: pg.QueryConfig;
  readonly resolve: (rows: unknown[]) => void;
  readonly reject: (error: unknown) => void;
};

/** A transaction all of which is known before any of it is sent. */
async function sendHeld(client: pg.PoolClient, all: readonly Held[]): Promise<void> {
  try {
    const rows = await sendTogether(
      client,
      all.map(({ config }) => config),
    );
    for (const [index, { resolve }] of all.entries()) resolve(rows[index]!);
  } catch (error) {
    for (const { reject } of all) reject(error);
    throw error;
  }
}

/** Once all that can go on by itself has: whoever waits now waits for something else. */
const whenIdle = (act: () => void): void => void Promise.resolve().then(() => process.nextTick(act));

/** What of `pg` its types do not name. */
type Corkable = { readonly connection: { readonly stream: { cork(): void; uncork(): void } } };

/**
 * Answers a function to call before sending: what is sent in one go of the event loop leaves in one write. Each write is
 * a system call and a wake-up of the backend, which cost more than most of our statements.
 */
function corked(client: pg.PoolClient): () => void {
  const { stream } = (client as unknown as Corkable).connection;
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    stream.cork();
    process.nextTick(() => {
      waiting = false;
      stream.uncork();
    });
  };
}

/** Statements of one transaction that do not need each other's rows are sent without waiting for each other. */
const PIPELINED = { pipeline: true } as pg.PoolConfig;
