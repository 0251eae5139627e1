/** From where a node looks: from the beginning, or, while that is slow, from floors that it reads now and then. */
import { limits } from "../core/limits.js";
import type { Queryable } from "../store/db.js";
import { type Floors, hasDeadRows, NO_FLOORS, readFloors } from "../store/floors.js";

export type Footing = {
  /** To look and to claim from; none where looking is not slow. */
  readonly floors: Floors;
  /** Reads floors anew where they have been in use for long enough: to be asked before each look and claim. */
  renew(): Promise<void>;
  /** A look has just ended. */
  looked(begunAtMs: number): Promise<void>;
};

/** A look that took longer, where so many rows are dead, is followed by looks from floors. */
export type Slow = { readonly lookMs: number; readonly deadRows: number };

export function createFooting(
  db: Queryable,
  slow: Slow = { lookMs: limits.slowLookMs, deadRows: limits.slowLookDeadRows },
): Footing {
  let floors = NO_FLOORS;
  let untilMs = 0;
  /** What waits may have come below its floor since it was read: so it is in use for ten times as long as that took, and not for long. */
  const read = async (begunAtMs: number): Promise<number> => {
    floors = await readFloors(db, floors);
    const endedAtMs = performance.now();
    untilMs = endedAtMs + Math.min(10 * (endedAtMs - begunAtMs), limits.floorsMaxMs);
    return endedAtMs - begunAtMs;
  };
  return {
    get floors() {
      return floors;
    },
    async renew() {
      const nowMs = performance.now();
      if (floors === NO_FLOORS || nowMs < untilMs) return;
      if ((await read(nowMs)) <= slow.lookMs) floors = NO_FLOORS;
    },
    async looked(begunAtMs) {
      if (floors !== NO_FLOORS || performance.now() - begunAtMs <= slow.lookMs) return;
      if (await hasDeadRows(db, slow.deadRows)) await read(begunAtMs);
    },
  };
}
