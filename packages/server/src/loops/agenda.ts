/**
 * What a node knows of what is due, so that it looks at all queues only where it must: a job that comes alone is claimed
 * where it is known to be. What is remembered is a hint; whoever finds it wrong looks.
 */
import { limits } from "../core/limits.js";
import type { Due } from "../store/claim.js";

export type Agenda = {
  /** Something may be due, and nobody knows where. */
  unsure(): void;
  /** Something is due now in this queue. */
  due(queueId: number): void;
  /** Takes the queues in which something is due; undefined: look, and tell it to `looked`. */
  take(nowMs: number): Due[] | undefined;
  /** A look told this, and that the next one is due by then. */
  looked(due: readonly Due[], untilMs: number): void;
  /** Nothing was had of this queue, where something was due: it is full, paused, or limited by now. Looks, and waits for a look to tell of it. */
  wrong(queueId: number): void;
  /** The queue as the last look told of it, if `claimPlain` may claim from it. */
  known(queueId: number): Due | undefined;
  /** Milliseconds until the next look. */
  restMs(nowMs: number): number;
  /** How often it was told something: what began before the last time may have been overtaken. */
  readonly told: number;
};

/** With more of them it is one look for all. */
const MOST_HINTS = 50;

export function createAgenda(): Agenda {
  /** By id, as the last look that told of them did: only those that `claimPlain` may claim from. */
  const plain = new Map<number, Due>();
  const hinted = new Map<number, Due>();
  let looks = true;
  let untilMs = 0;
  let told = 0;
  let toldBefore = 0;
  const unsure = (): void => {
    told++;
    looks = true;
  };
  return {
    unsure,
    due(queueId) {
      const queue = plain.get(queueId);
      if (queue === undefined || hinted.size >= MOST_HINTS) return unsure();
      told++;
      hinted.set(queueId, queue);
    },
    take(nowMs) {
      const all = [...hinted.values()];
      hinted.clear();
      if (!looks && all.length > 0 && nowMs < untilMs) return all;
      toldBefore = told;
      return undefined;
    },
    looked(due, until) {
      // A map that grew with queues long gone would be the only thing here that does.
      if (plain.size > 10 * limits.queuesPerLook) plain.clear();
      for (const queue of due) {
        if (queue.plain) plain.set(queue.queueId, queue);
        else plain.delete(queue.queueId);
      }
      untilMs = until;
      // What was told during the look, it may not have seen.
      looks = told !== toldBefore;
    },
    wrong(queueId) {
      plain.delete(queueId);
      unsure();
    },
    known: (queueId) => plain.get(queueId),
    restMs: (nowMs) => (looks ? 0 : Math.max(0, Math.ceil(untilMs - nowMs))),
    get told() {
      return told;
    },
  };
}
