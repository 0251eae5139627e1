/** Where a history is played: a workspace of its own on a real Postgres whose clock stands still until it is moved. */
import { newId } from "../core/ids.js";
import { ONE_FOR_ALL } from "../core/rate-key.js";
import { type Db, openDb } from "../store/db.js";
import { applyFunctionRates } from "../store/function-keys.js";
import { registerNode } from "../store/nodes.js";
import { createQueue, DEFAULT_QUEUE, type QueueSettings } from "../store/queues.js";
import { createWorkspace } from "../store/workspaces.js";
import { testDatabase } from "./database.js";
import { type ModelQueue, ownKey, TERMS, type World } from "./queue-model.js";
import type { Seen } from "./queue-model-checks.js";
import { KEYS, type Made, VALUES } from "./queue-model-commands.js";

/** A schema of its own over a single connection, whose clock is a setting of it: it stands still, and moving it costs nothing. */
export type Theatre = { readonly db: Db; close(): Promise<void> };

export async function openTheatre(): Promise<Theatre> {
  const database = await testDatabase();
  await database.db.script(
    `create or replace function rotor.clock() returns timestamptz language sql stable parallel safe
       as $$select current_setting('model.now')::timestamptz$$`,
  );
  const db = openDb({ url: database.url, schema: database.schema, maxConnections: 1 });
  // Nothing here outlives the process, so nobody waits for the disk; tables are tiny, so each statement is planned once.
  await db.script("set synchronous_commit = off; set plan_cache_mode = force_generic_plan");
  return {
    db,
    async close() {
      await db.close();
      await database.close();
    },
  };
}

/** A delivery that somebody holds, or held. */
export type Begun = { readonly jobId: string; readonly delivery: number; readonly attempt: number };

export type Stage = {
  /** What is tested: the store on this database. */
  readonly db: Db;
  /** The same database as it is, whatever a mutant makes of `db`. */
  readonly plain: Db;
  readonly workspace: string;
  readonly world: World;
  readonly begun: Begun[];
};

/** Settings of a queue as the model has it. */
export const settingsOf = (queue: ModelQueue): QueueSettings => ({
  ...DEFAULT_QUEUE,
  url: "http://127.0.0.1:9/",
  concurrency: queue.concurrency,
  timeoutMs: TERMS.timeoutMs,
  asyncTimeoutMs: TERMS.asyncTimeoutMs,
  maxAttempts: TERMS.maxAttempts,
  backoff: { kind: "fixed", factor: 1, minMs: TERMS.backoffMs, maxMs: TERMS.backoffMs, jitter: "none", listMs: [] },
  approvalRequired: queue.approval,
  approvalTimeoutMs: TERMS.approvalTimeoutMs,
  strictConcurrency: queue.strict,
  rate: queue.rate === null ? null : { ...queue.rate, key: RATE_KEYS[queue.rate.by] },
  breaker: queue.breaker ? TERMS.breaker : null,
});

const RATE_KEYS = { queue: null, customer: "payload.customer", one: ONE_FOR_ALL } as const;

/** What a function's runs may share, by the names of the model. */
export const ownLimits = (queue: ModelQueue): [string, number][] =>
  ([...queue.limits.entries(), ["strict", queue.strictLimit]] as const).flatMap(([place, limit]) =>
    VALUES.map((value): [string, number] => [ownKey(queue, place, value), limit]),
  );

/** A function as a sync leaves it. */
export async function writeFunction({ db, plain }: Pick<Stage, "db" | "plain">, queue: ModelQueue): Promise<void> {
  const { rate } = settingsOf(queue);
  await plain.script(
    `update rotor.queues
        set kind = 'function', concurrency = ${queue.concurrency}, rate_limit = ${rate?.limit ?? null},
            rate_period_ms = ${rate?.periodMs ?? null}, rate_key = ${rate?.key ? `'${rate.key}'` : null}
      where id = ${queue.id}`,
  );
  await db.transact((t) => applyFunctionRates(t, [queue.id]));
}

/** A function without a key has one value for all its runs. */
const rateBy = (made: Made): "queue" | "customer" | "one" =>
  made.rate === "key" ? "customer" : made.function ? "one" : "queue";

let staged = 0;

/** Sets the stage: queues, and two nodes that live. */
export async function setStage(db: Db, plain: Db, queues: readonly Made[]): Promise<Stage> {
  const workspace = `w${++staged}`;
  const world: World = {
    now: Date.now(),
    queues: [],
    keys: new Map(KEYS.map((key) => [key, { limit: 1, allowed: 0 }])),
    jobs: new Map(),
    slots: [],
    log: new Map(),
    nodes: [],
  };
  const stage: Stage = { db, plain, workspace, world, begun: [] };
  await setClock(stage, world.now);
  await createWorkspace(plain, workspace, workspace);
  const made = queues.map(async (each, place): Promise<ModelQueue> => {
    const queue: ModelQueue = {
      id: 0,
      name: `q${place}`,
      concurrency: each.concurrency,
      isFunction: each.function,
      limits: each.limits,
      strictLimit: each.strictLimit,
      rate: each.rate === "none" ? null : { ...each.limit, by: rateBy(each) },
      periodChangedAt: Number.NEGATIVE_INFINITY,
      approval: each.approval && !each.function,
      strict: each.strict && !each.function,
      breaker: each.breaker && !each.function,
      paused: false,
      failures: 0,
      trips: 0,
      openAt: Number.NEGATIVE_INFINITY,
      begun: [],
      allowed: 0,
    };
    const stored = await createQueue(plain, workspace, queue.name, settingsOf(queue));
    queue.id = stored!.id;
    if (!queue.isFunction) return queue;
    await writeFunction(stage, queue);
    for (const [name, limit] of ownLimits(queue)) world.keys.set(name, { limit, allowed: 0 });
    return queue;
  });
  const stored = await Promise.all(made);
  await Promise.all([newNode(stage), newNode(stage)]);
  return { ...stage, world: Object.assign(world, { queues: stored }) };
}

/** A node boots. */
export async function newNode({ plain, world }: Stage): Promise<void> {
  const id = newId();
  world.nodes.push({ id, alive: true, leaseUntil: world.now + LEASE_MS });
  await registerNode(plain, id, "model");
}

const LEASE_MS = 5_000;

/** The clock jumps ahead and stands still again; nodes that live have renewed their leases meanwhile. */
export async function jump(stage: Stage, ms: number): Promise<void> {
  const { world } = stage;
  world.now += ms;
  for (const node of world.nodes) if (node.alive) node.leaseUntil = world.now + LEASE_MS;
  await setClock(stage, world.now);
}

async function setClock({ plain, world }: Stage, now: number): Promise<void> {
  const living = world.nodes.filter((node) => node.alive).map((node) => `'${node.id}'`);
  await plain.script(
    `set model.now = '${new Date(now).toISOString()}';
     update rotor.nodes set lease_until = rotor.clock() + interval '${LEASE_MS} ms' where id::text in (${["''", ...living].join()})`,
  );
}

const rows = {
  name: "model.rows",
  text: `select job.id, job.state, ceil(extract(epoch from job.due_at) * 1000)::float8 as "dueAt", job.attempt, job.delivery, job.rescues,
                job.node_id as node, case when job.blocked_on = job.second_key_id then 'second' else key.kind end as blocked
           from rotor.jobs job left join rotor.keys key on key.id = job.blocked_on
          where job.queue_id = any($1::int[])`,
};

/** Every job of the stage as the store has it. */
export const look = ({ plain, world }: Stage): Promise<Seen[]> =>
  plain.query<Seen>(rows, [world.queues.map((queue) => queue.id)]);

/** Forgets the history, and what it left in tables that are everybody's. */
export const clearStage = ({ plain }: Stage): Promise<unknown> =>
  plain.script(
    `delete from rotor.jobs; delete from rotor.payloads; delete from rotor.deliveries; delete from rotor.slots; delete from rotor.nodes;
     delete from rotor.keys; delete from rotor.queues; delete from rotor.workspaces; delete from rotor.sweeps where what = 'jobs'`,
  );
