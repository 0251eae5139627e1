/**
 * Lets go on what waits for a key: rate keys when they open, and as the net under the grants of settles and claims, turns
 * that nobody passed on.
 */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { grantStranded } from "../store/keys.js";
import { openRateKeys } from "../store/rate-keys.js";
import { forgetSlots } from "../store/slots.js";
import { createLoop, type Loop } from "./loop.js";

export type KeeperOptions = {
  readonly db: Db;
  readonly held: () => boolean;
  /** Jobs may be claimed that were blocked. */
  readonly onOpened: () => void;
  readonly onError: (error: unknown) => void;
};

export function createKeeper({ db, held, onOpened, onError }: KeeperOptions): Loop {
  let after = 0;
  let strandedAt = Number.NEGATIVE_INFINITY;
  return createLoop({
    onError,
    tick: async () => {
      if (held()) return limits.pollMs;
      const { opened, nextMs } = await openRateKeys(db);
      let granted = false;
      if (performance.now() - strandedAt >= limits.pollMs) {
        strandedAt = performance.now();
        await forgetSlots(db);
        ({ next: after, granted } = await grantStranded(db, after));
      }
      if (opened || granted) onOpened();
      return Math.min(Math.max(0, Math.ceil(nextMs ?? limits.pollMs)), limits.pollMs);
    },
  });
}
