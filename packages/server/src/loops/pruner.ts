/**
 * Removes what has been kept for long enough, in small steps. It rests as long as a step took where much is to be removed,
 * else thrice as long: under load its steps take longer, and so does its rest.
 */
import { limits } from "../core/limits.js";
import type { SystemRetention } from "../core/retention.js";
import type { Db } from "../store/db.js";
import { prune } from "../store/prune.js";
import { untilSweep } from "../store/sweeps.js";
import { createLoop, type Loop } from "./loop.js";

export type PrunerOptions = {
  readonly db: Db;
  readonly retention: SystemRetention;
  /** Nothing is removed from a database that belongs to another environment. */
  readonly held: () => boolean;
  readonly onError: (error: unknown) => void;
};

/** How often it looks at least: a queue's terms, or a new queue, may call for it sooner than was planned. */
const LOOK_MS = 2_000;
const LEAST_REST_MS = 20;
const LONGEST_REST_MS = 2_000;

export function createPruner({ db, retention, held, onError }: PrunerOptions): Loop {
  return createLoop({
    onError,
    retryMs: LOOK_MS,
    tick: async () => {
      if (held()) return LOOK_MS;
      const begunAt = performance.now();
      const removed = await prune(db, retention);
      if (removed === undefined) return Math.min(Math.max(await untilSweep(db), 100), LOOK_MS);
      const rest = (removed > limits.pruned / 2 ? 1 : 3) * (performance.now() - begunAt);
      return Math.min(Math.max(rest, LEAST_REST_MS), LONGEST_REST_MS);
    },
  });
}
