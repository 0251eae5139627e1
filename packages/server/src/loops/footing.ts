/** From where a node looks: from the beginning, or, while that is slow, from floors that it reads now and then. */
import { limits } from "../core/limits.js";
import type { Queryable } from "../store/db.js";
import { type Floors, hasDeadRows, NO_FLOORS, readFloors } from "../store/floors.js";

export type Footing = {
  /** The floors to look and claim from; none where they have been in use for long enough. */
  at(nowMs: number): Floors;
  /** Whether looks begin at the beginning just now. */
  readonly firm: boolean;
  /** A look from `at` has just ended. */
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
  return {
    at(nowMs) {
      if (nowMs >= untilMs) floors = NO_FLOORS;
      return floors;
    },
    get firm() {
      return floors === NO_FLOORS;
    },
    async looked(begunAtMs) {
      if (floors !== NO_FLOORS || performance.now() - begunAtMs <= slow.lookMs) return;
      if (!(await hasDeadRows(db, slow.deadRows))) return;
      floors = await readFloors(db);
      const endedAtMs = performance.now();
      // Of a busy machine's time, looking without floors gets no more than a tenth.
      untilMs = endedAtMs + Math.min(10 * (endedAtMs - begunAtMs), limits.floorsMaxMs);
    },
  };
}
