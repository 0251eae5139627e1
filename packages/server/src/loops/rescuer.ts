/**
 * Takes work from dead nodes and from deliveries that outlived their limit; ends what nobody decided about in time, and
 * runs past their deadline.
 */
import { limits } from "../core/limits.js";
import { expirePatience } from "../store/control.js";
import type { Db } from "../store/db.js";
import { endLate } from "../store/deadlines.js";
import { expireOverdue, rescueDead } from "../store/rescue.js";
import { expireUnreached } from "../store/unreached.js";
import type { Lease } from "./lease.js";
import { createLoop, type Loop } from "./loop.js";

export type RescuerOptions = {
  readonly db: Db;
  readonly lease: Lease;
  readonly held: () => boolean;
  readonly onRescued: (count: number) => void;
  readonly onError: (error: unknown) => void;
};

/** Of the time, the part that it is to take where dead rows make it slow (see `store/floors.ts`); but nobody waits much longer for it. */
const SHARE = 1 / 20;
const LONGEST_REST_MS = 3 * limits.renewMs;

export function createRescuer({ db, lease, held, onRescued, onError }: RescuerOptions): Loop {
  return createLoop({
    onError,
    tick: async () => {
      // After an outage of Postgres every lease has run out: who has not lived through one since judges nobody.
      if (held() || !lease.steady()) return limits.renewMs;
      const begunAt = performance.now();
      const rescued = await rescueDead(db);
      const late = (await endLate(db)) + (await expireUnreached(db));
      const ended = (await expireOverdue(db, Math.random)) + (await expirePatience(db)) + late;
      if (rescued !== undefined || ended > 0) onRescued((rescued ?? 0) + ended);
      if (rescued !== undefined || late > 0) return 0;
      return Math.min(Math.max(limits.renewMs, (performance.now() - begunAt) / SHARE), LONGEST_REST_MS);
    },
  });
}
