/**
 * Writes down how this node's deliveries went, and looks for what is wrong where a webhook wants to know. What counts as
 * wrong is in `store/alerts.ts`.
 */
import { limits } from "../core/limits.js";
import { watch } from "../store/alerts.js";
import type { Db } from "../store/db.js";
import { writeTallies } from "../store/tallies.js";
import { isAnybodyTold } from "../store/tell.js";
import { createLoop, type Loop } from "./loop.js";

export type WatcherOptions = {
  readonly db: Db;
  readonly held: () => boolean;
  /** Webhooks have something to deliver. */
  readonly onTold: () => void;
  readonly onError: (error: unknown) => void;
};

export type Watcher = Loop & {
  /** A delivery of this queue ended so; it had been due for `waitedMs` when it was sent off. */
  note(queueId: number, outcome: string, waitedMs: number): void;
};

/** Ends that say something of the endpoint; a job that was given back says nothing. */
const FAILED = new Set(["retry", "failed", "unreached"]);
const WELL = new Set(["completed", "waiting", "yield", "accepted"]);

/** A look takes at most this part of the time, however many queues there are. */
const SHARE = 20;

export function createWatcher({ db, held, onTold, onError }: WatcherOptions): Watcher {
  let tallies = new Map<number, { ended: number; failed: number; waitMs: number }>();
  const loop = createLoop({
    onError,
    tick: async () => {
      const seen = tallies;
      tallies = new Map();
      if (held()) return limits.watchMs;
      await writeTallies(
        db,
        [...seen].map(([queueId, tally]) => ({ queueId, ...tally })),
      );
      if (!(await isAnybodyTold(db))) return limits.watchMs;
      const startedAt = performance.now();
      const told = (await watch(db)) ?? 0;
      if (told > 0) onTold();
      return Math.max(limits.watchMs, (performance.now() - startedAt) * SHARE);
    },
  });
  return {
    ...loop,
    note(queueId, outcome, waitedMs) {
      const isFailure = FAILED.has(outcome);
      if (!isFailure && !WELL.has(outcome)) return;
      const tally = tallies.get(queueId) ?? { ended: 0, failed: 0, waitMs: 0 };
      tallies.set(queueId, {
        ended: tally.ended + 1,
        failed: tally.failed + (isFailure ? 1 : 0),
        waitMs: Math.max(tally.waitMs, waitedMs),
      });
    },
  };
}
