/**
 * Claims that come along with what makes jobs due: by the commit of an enqueue, where its queues are known and this node has
 * room. A job that comes alone is then on its way after one commit in place of two (docs/decisions/0029-claimed-as-they-come.md).
 */
import { limits } from "../core/limits.js";
import type { Begun, PlainClaim } from "../store/claim-plain.js";

export type AlongOptions = {
  /** What a look told of this queue; undefined: only a look knows what a claim from it needs. */
  readonly known: (queueId: number) => { readonly kind: "callback" | "function" } | undefined;
  /** How many jobs may be claimed without a look: none while others could have been there first. */
  readonly free: () => number;
  readonly nodeId: () => string;
  /** What results of runs may weigh. */
  readonly bytes: () => number;
  /** Sets off what was claimed. */
  readonly begin: (begun: Begun, nodeId: string) => Promise<unknown>;
  /** The write failed, and may have committed all the same. */
  readonly lost: () => void;
};

export type Along = {
  /**
   * Hands `write`, which makes so many jobs due in these queues, the claim that may come along; none where there is no room for all
   * of them. What it began is on its way when this resolves.
   */
  write<T extends { readonly begun?: Begun | undefined }>(
    counts: ReadonlyMap<number, number>,
    write: (claim?: PlainClaim) => Promise<T>,
  ): Promise<T>;
  /** Jobs that are being claimed. */
  readonly asked: number;
  /** Resolves when those have ended that are under way now. */
  ended(): Promise<unknown>;
};

export function createAlong(options: AlongOptions): Along {
  const underWay = new Set<Promise<unknown>>();
  let asked = 0;

  const claimFor = (counts: ReadonlyMap<number, number>): PlainClaim | undefined => {
    const queues = [...counts].flatMap(([queueId, count]) => {
      const queue = options.known(queueId);
      return queue === undefined ? [] : [{ queueId, kind: queue.kind, share: Math.min(count, limits.claim) }];
    });
    const room = queues.reduce((sum, { share }) => sum + share, 0);
    if (room === 0 || room > options.free() - asked) return undefined;
    return {
      nodeId: options.nodeId(),
      queueIds: queues.map(({ queueId }) => queueId),
      shares: queues.map(({ share }) => share),
      room,
      functions: queues.some(({ kind }) => kind === "function"),
      bytes: options.bytes(),
    };
  };

  const claiming = async <T extends { readonly begun?: Begun | undefined }>(
    claim: PlainClaim,
    write: (claim: PlainClaim) => Promise<T>,
  ): Promise<T> => {
    asked += claim.room;
    try {
      const result = await write(claim);
      if (result.begun !== undefined) await options.begin(result.begun, claim.nodeId);
      return result;
    } catch (error) {
      options.lost();
      throw error;
    } finally {
      asked -= claim.room;
    }
  };

  return {
    async write(counts, write) {
      const claim = claimFor(counts);
      if (claim === undefined) return write();
      const work = claiming(claim, write);
      underWay.add(work);
      try {
        return await work;
      } finally {
        underWay.delete(work);
      }
    },
    get asked() {
      return asked;
    },
    ended: () => Promise.allSettled(underWay),
  };
}
