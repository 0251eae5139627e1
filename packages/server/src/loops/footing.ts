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
  /** Claims from these queues may count what is active from here on. */
  raise(active: ReadonlyMap<number, string>): void;
};

/** A look that took longer, where so many rows are dead, is followed by looks from floors. */
export type Slow = { readonly lookMs: number; readonly deadRows: number };

export function createFooting(
  db: Queryable,
  slow: Slow = { lookMs: limits.slowLookMs, deadRows: limits.slowLookDeadRows },
): Footing {
  let floors = NO_FLOORS;
  let untilMs = 0;
  /** When what waits is to be read from its beginning again. */
  let wholeAtMs = 0;
  /**
   * What waits may have come below its floor since it was read: so it is in use for ten times as long as that took, and not for long. From its
   * beginning it is read for a hundredth of the time: that ends the floors when the dead rows are gone.
   */
  const read = async (whole: boolean): Promise<void> => {
    const begunAtMs = performance.now();
    floors = await readFloors(db, floors, whole);
    const endedAtMs = performance.now();
    const tookMs = endedAtMs - begunAtMs;
    untilMs = endedAtMs + Math.min(Math.max(10 * tookMs, limits.floorsMinMs), limits.floorsMaxMs);
    if (!whole) return;
    wholeAtMs = endedAtMs + Math.min(100 * tookMs, limits.floorsWholeMs);
    // To look from the beginning takes no longer than this did.
    if (tookMs <= slow.lookMs) floors = NO_FLOORS;
  };
  return {
    get floors() {
      return floors;
    },
    async renew() {
      const nowMs = performance.now();
      if (floors === NO_FLOORS || nowMs < untilMs) return;
      await read(nowMs >= wholeAtMs);
    },
    async looked(begunAtMs) {
      if (floors !== NO_FLOORS || performance.now() - begunAtMs <= slow.lookMs) return;
      if (await hasDeadRows(db, slow.deadRows)) await read(true);
    },
    raise(active) {
      if (floors === NO_FLOORS || active.size === 0) return;
      const raised = new Map(floors);
      for (const [queueId, from] of active) {
        const floor = floors.get(queueId);
        if (floor !== undefined) raised.set(queueId, { ...floor, active: from });
      }
      floors = raised;
    },
  };
}
