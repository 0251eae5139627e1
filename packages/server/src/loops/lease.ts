/**
 * This node's lease: renewed each second on a connection of its own, so that a busy pool does not kill a healthy node.
 * A node that lost its lease drops all that it holds and goes on under a new id.
 */
import { randomUUID } from "node:crypto";
import type pg from "pg";
import { limits } from "../core/limits.js";
import type { Db, Queryable, Statement, Value } from "../store/db.js";
import { registerNode, removeNode, renewNode } from "../store/nodes.js";
import { createLoop, type Loop } from "./loop.js";

export type Lease = {
  /** The id of now; a new one after a loss. */
  nodeId(): string;
  /** True while the last renewal was sent less than a lease minus a second ago, by the monotonic clock. */
  fresh(): boolean;
  /** True once this node has renewed without a failure or a gap for one whole lease: only then may it judge others. */
  steady(): boolean;
  /** Living nodes at the last renewal. */
  nodes(): number;
  /** The time of day by the database, in milliseconds: this machine's own clock may be hours off, or jump. */
  now(): number;
  start(): Promise<void>;
  /** Ends the lease at once, so that nobody waits for it to run out. */
  stop(): Promise<void>;
};

export type LeaseOptions = {
  readonly db: Db;
  readonly label: string;
  /** Told after a loss: everything in hand belongs to others now. */
  readonly onLost: () => void;
  readonly onError: (error: unknown) => void;
};

/**
 * A renewal that takes longer is given up and its connection replaced, so that one dead connection does not cost the
 * lease: two tries fit.
 */
const ANSWER_MS = limits.leaseMs / 2 - 500;

/** By its own clock a node stops sooner than others may take its work: for a second the two may differ. */
const FRESH_MS = limits.leaseMs - 1_000;

export function createLease({ db, label, onLost, onError }: LeaseOptions): Lease {
  let id = randomUUID();
  let client: pg.Client | undefined;
  let sentAt = Number.NEGATIVE_INFINITY;
  let steadySince = Number.POSITIVE_INFINITY;
  let alive = 1;
  /** What to add to the monotonic clock. Until a database has said, this machine's clock has to do. */
  let dayAt = performance.timeOrigin;

  /** Counts renewals: one that was given up must change nothing when its answer comes after all. */
  let turn = 0;

  const connected = async (mine: number): Promise<Queryable> => {
    if (client === undefined) {
      const fresh = await db.connect();
      if (mine !== turn) {
        await fresh.end();
        throw new Error("The connection of the lease came too late.");
      }
      fresh.once("end", () => {
        if (client === fresh) client = undefined;
      });
      client = fresh;
    }
    const own = client;
    return {
      query: async <Row>(statement: Statement, values: readonly Value[] = []) =>
        (await own.query({ name: statement.name, text: db.resolve(statement.text), values: [...values] }))
          .rows as Row[],
    };
  };

  const register = async (mine: number): Promise<void> => {
    const at = performance.now();
    const now = await registerNode(await connected(mine), id, label);
    if (mine !== turn) return;
    dayAt = now - performance.now();
    sentAt = at;
    steadySince = at;
  };

  const renew = async (mine: number): Promise<number> => {
    const at = performance.now();
    const renewed = await renewNode(await connected(mine), id);
    if (mine !== turn) return 0;
    if (renewed === undefined) {
      // Dead by the clock of the database: others may hold our work already.
      id = randomUUID();
      sentAt = Number.NEGATIVE_INFINITY;
      steadySince = Number.POSITIVE_INFINITY;
      onLost();
      await register(mine);
      return limits.renewMs;
    }
    // Renewed at the last moment, or after a failure: others may have had the same trouble, and no luck.
    if (steadySince === Number.POSITIVE_INFINITY || at - sentAt > FRESH_MS) steadySince = at;
    sentAt = at;
    alive = renewed.alive;
    dayAt = renewed.now - performance.now();
    return Math.max(0, limits.renewMs - (performance.now() - at));
  };

  const fresh = (): boolean => performance.now() - sentAt < FRESH_MS;

  const loop: Loop = createLoop({
    tick: () => within(ANSWER_MS, renew(++turn)),
    onError: (error) => {
      // Whatever is still under way is over.
      turn++;
      steadySince = Number.POSITIVE_INFINITY;
      void client?.end().catch(onError);
      client = undefined;
      onError(error);
    },
    retryMs: 200,
  });

  return {
    nodeId: () => id,
    fresh,
    // A node that was paused has its old marks still: it must have renewed since.
    steady: () => fresh() && performance.now() - steadySince >= limits.leaseMs,
    nodes: () => alive,
    now: () => dayAt + performance.now(),
    async start() {
      await register(turn);
      loop.start();
    },
    async stop() {
      await loop.stop();
      try {
        await removeNode(db, id);
      } catch (error) {
        // The lease runs out by itself a few seconds later.
        onError(error);
      }
      await client?.end();
      client = undefined;
    },
  };
}

/** What is too late fails; whether it happened is unknown. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The lease was not renewed within ${ms} ms.`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
