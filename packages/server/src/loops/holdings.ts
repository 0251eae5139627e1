/**
 * What the database says that this node holds, compared to what it knows: the reply to a claim may have been lost. What nobody here
 * knows of is given back.
 */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { heldBy, release } from "../store/rescue.js";

export type Holdings = {
  /** Something may be held that nobody knows of: compares at the next opportunity. */
  unsure(): void;
  /** Compares where it is time to. No claim of the caller's may be under way. */
  compare(): Promise<void>;
  /** Resolves when nothing is being given back. */
  idle(): Promise<void>;
};

export function createHoldings(options: {
  readonly db: Db;
  readonly nodeId: () => string;
  readonly isKnown: (jobId: string) => boolean;
  /** Claims that are under way beside the caller's; what they took is known when they have ended. */
  readonly others: { readonly asked: number; ended(): Promise<unknown> };
  readonly onGivenBack: () => void;
  readonly onError: (error: unknown) => void;
}): Holdings {
  const { db } = options;
  let comparedAtMs = performance.now();
  let giving: Promise<void> | undefined;

  const unsure = (): void => {
    comparedAtMs = Number.NEGATIVE_INFINITY;
  };

  type Held = Awaited<ReturnType<typeof heldBy>>;
  const giveBack = async (held: Held): Promise<void> => {
    try {
      await options.others.ended();
      const given = await release(
        db,
        held.filter((row) => !options.isKnown(row.jobId)),
      );
      if (given > 0) options.onGivenBack();
    } catch (error) {
      unsure();
      options.onError(error);
    }
    giving = undefined;
  };

  return {
    unsure,
    async compare() {
      if (giving !== undefined || performance.now() - comparedAtMs <= limits.reconcileMs) return;
      // Before it is read: what is lost meanwhile may be missing in it.
      comparedAtMs = performance.now();
      const held = await heldBy(db, options.nodeId()).catch((error: unknown) => {
        unsure();
        throw error;
      });
      if (held.every((row) => options.isKnown(row.jobId))) return;
      // What another claim comes along with may stand in line for a lock: that is not waited for.
      const others = options.others.asked > 0;
      giving = giveBack(held);
      if (!others) await giving;
    },
    idle: async () => giving,
  };
}
