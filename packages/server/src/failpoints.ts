/**
 * Places where a fault run makes this server fail: at the border of a transaction, before or after a call to the outside.
 * They are put around the store and the deliveries from without, by `main.ts`, and only where ROTOR_FAILPOINTS names some: a
 * server without it runs none of this. What the places mean stands in docs/decisions/0019-failpoints.md.
 */
import type { ClientBase } from "pg";
import { ConfigError } from "./config.js";
import type { Deliver } from "./delivery/deliver.js";
import type { Db, Queryable, Statement, Value } from "./store/db.js";

/**
 * Statements that say what their transaction is: its commit is the border. Of one that runs by itself, the border is the
 * statement. Connections of their own, such as that of the lease, count as well.
 */
const MARKS = [
  "apps.upsert",
  "change.jobs",
  "checkpoint.quick",
  "checkpoint.renew",
  "claim-plain.take",
  "claim.lock",
  "control.approve",
  "control.cancel",
  "control.retry",
  "deadlines.end",
  "enqueue.insert",
  "gather.append",
  "inbox.remove",
  "keys.grant",
  "nodes.register",
  "nodes.renew",
  "prune.jobs",
  "publish.insert",
  "replay.originals",
  "rescue.expire",
  "rescue.orphan",
  "rescue.release",
  "resume.end",
  "settle.move",
  "settle.quick",
  "signals.keep",
  "tell.insert",
  "ticks.advance",
] as const;

/** A migration's commit, and a POST to an endpoint. */
const OTHERS = ["migration", "post"] as const;

/** Every name: `settle.move.before`, `post.after`. */
export const failpointNames: readonly string[] = [...MARKS, ...OTHERS].flatMap((mark) => [
  `${mark}.before`,
  `${mark}.after`,
]);

const marks: ReadonlySet<string> = new Set(MARKS);

type Action =
  /** As by `kill -9`. */
  | { readonly kind: "crash" }
  /** Before: it did not happen. After: it did, and who asked for it is told that the connection is gone. */
  | { readonly kind: "error" }
  | { readonly kind: "delay"; readonly ms: number }
  /** Postgres breaks the transaction up, with this code: it is rolled back. */
  | { readonly kind: "break-up"; readonly code: "40P01" | "40001" };

export type Failpoint = {
  readonly name: string;
  readonly action: Action;
  /** The hit that it strikes at, counted from 1; with `every`, each one that is a multiple of it. */
  readonly hit: number;
  readonly every: boolean;
};

const FORM = /^([a-z.-]+)=(crash|error|40P01|40001|delay\((\d{1,6})\))(?:([@/])(\d{1,6}))?$/;

/**
 * Reads `settle.move.after=crash@3 post.before=delay(200)/10`: the third hit, each tenth. Throws a ConfigError for a name that
 * there is not, or an action that cannot be had there.
 */
export function parseFailpoints(text: string): Failpoint[] {
  return text
    .split(/\s+/)
    .filter((part) => part !== "")
    .map((part) => {
      const [, name, action, ms, how, count] = FORM.exec(part) ?? [];
      if (name === undefined || action === undefined)
        throw new ConfigError(
          `ROTOR_FAILPOINTS: ${part} is not <name>=<crash|error|40P01|40001|delay(ms)>[@hit|/every].`,
        );
      if (!failpointNames.includes(name)) throw new ConfigError(`ROTOR_FAILPOINTS: there is no failpoint ${name}.`);
      const hit = count === undefined ? 1 : Number(count);
      if (hit === 0) throw new ConfigError(`ROTOR_FAILPOINTS: hits of ${name} are counted from 1.`);
      return { name, action: actionOf(name, action, ms), hit, every: how === "/" };
    });
}

function actionOf(name: string, text: string, ms: string | undefined): Action {
  if (ms !== undefined) return { kind: "delay", ms: Number(ms) };
  if (text === "error" && name.startsWith("post."))
    throw new ConfigError("ROTOR_FAILPOINTS: a POST throws no error; whatever becomes of it is an answer.");
  if (text === "crash" || text === "error") return { kind: text };
  const code = text === "40P01" ? "40P01" : "40001";
  if (!name.endsWith(".before") || !marks.has(name.slice(0, -".before".length)))
    throw new ConfigError(`ROTOR_FAILPOINTS: ${code} can be had before a transaction's commit only, not at ${name}.`);
  return { kind: "break-up", code };
}

/** Whether this Postgres is on this machine: nobody's real one is to be played with. */
export function isOwnMachine(databaseUrl: string): boolean {
  if (!URL.canParse(databaseUrl)) return false;
  const { hostname, searchParams } = new URL(databaseUrl);
  const host = searchParams.get("host") ?? hostname;
  return host.startsWith("/") || ["127.0.0.1", "[::1]", "localhost"].includes(host);
}

export type Failpoints = {
  around(db: Db): Db;
  aroundDeliveries(deliver: Deliver): Deliver;
};

/** `told` hears of each strike before it happens. */
export function createFailpoints(points: readonly Failpoint[], told: (point: Failpoint) => void): Failpoints {
  const hits = new Map<string, number>();

  /** Something came to this place. Rejects, or never comes back, where a point strikes there. */
  async function reach(name: string): Promise<void> {
    const hit = (hits.get(name) ?? 0) + 1;
    hits.set(name, hit);
    for (const point of points) {
      if (point.name === name && (point.every ? hit % point.hit === 0 : hit === point.hit)) {
        told(point);
        await strike(point);
      }
    }
  }

  async function border<T>(name: string, run: () => Promise<T>): Promise<T> {
    await reach(`${name}.before`);
    const result = await run();
    await reach(`${name}.after`);
    return result;
  }
  const query = <T>(name: string, run: () => Promise<T>): Promise<T> => (marks.has(name) ? border(name, run) : run());

  return {
    around: (db) => ({
      ...db,
      query: (statement, values) => query(statement.name, () => db.query(statement, values)),
      async transact(work, path) {
        let met = new Set<string>();
        const result = await db.transact(async (t) => {
          // Again after a deadlock: what the first try met did not happen.
          met = new Set();
          const noted: Queryable = {
            ...t,
            query: <Row>(statement: Statement, values?: readonly Value[]) => {
              if (marks.has(statement.name)) met.add(statement.name);
              return t.query<Row>(statement, values);
            },
          };
          const done = await work(noted);
          for (const name of met) await reach(`${name}.before`);
          return done;
        }, path);
        for (const name of met) await reach(`${name}.after`);
        return result;
      },
      async connect() {
        const client = await db.connect();
        const run = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
        const around = (first: string | { readonly name?: string }, ...more: unknown[]): Promise<unknown> => {
          const name = typeof first === "string" ? first : (first.name ?? "");
          return name === "commit"
            ? border("migration", () => run(first, ...more))
            : query(name, () => run(first, ...more));
        };
        client.query = around as ClientBase["query"];
        return client;
      },
    }),
    aroundDeliveries: (deliver) => (pools, request) => border("post", () => deliver(pools, request)),
  };
}

async function strike({ name, action }: Failpoint): Promise<void> {
  switch (action.kind) {
    case "crash":
      process.kill(process.pid, "SIGKILL");
      // The signal may take a moment to come: nothing happens meanwhile.
      return new Promise(() => undefined);
    case "error":
      throw Object.assign(new Error(`Connection terminated (failpoint ${name})`), { code: "08006" });
    case "delay":
      return new Promise((resolve) => setTimeout(resolve, action.ms));
    case "break-up":
      throw Object.assign(new Error(`deadlock detected (failpoint ${name})`), { code: action.code });
  }
}
