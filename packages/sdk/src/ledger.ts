/** The steps of a run as the server has stored them, and the order in which their results are released. No promises here. */

import { fromWireError, StepError } from "./errors.js";
import type { WireError, WireStep } from "./protocol.js";

export type Ledger = {
  readonly get: (key: string) => WireStep | undefined;
  /** Adds what the server has told since, unless it was known. */
  readonly record: (step: WireStep) => void;
  /** Takes the next finished step, by `seq`; undefined when all are released. */
  readonly release: () => WireStep | undefined;
  readonly isReleased: (key: string) => boolean;
  /** Whether finished steps are left to release. */
  readonly replaying: () => boolean;
  /** The highest `seq` that is known. */
  readonly knownSeq: () => number;
  /** The steps that the server holds unfinished. */
  readonly unfinished: () => readonly WireStep[];
  /** The keys of the others. */
  readonly finished: () => readonly string[];
};

const isFinished = (step: WireStep): boolean => step.state !== "waiting";
const seqOf = (step: WireStep): number => step.seq ?? 0;

export function createLedger(stored: readonly WireStep[]): Ledger {
  const steps = new Map<string, WireStep>();
  const released = new Set<string>();
  // From the last to the first, so that the next is taken from the end.
  const queue: WireStep[] = [];
  let known = 0;

  const record = (step: WireStep): void => {
    const before = steps.get(step.key);
    if (before && isFinished(before)) return;
    steps.set(step.key, step);
    if (!isFinished(step)) return;
    known = Math.max(known, seqOf(step));
    let place = queue.length;
    while (place > 0 && seqOf(queue[place - 1]!) < seqOf(step)) place -= 1;
    queue.splice(place, 0, step);
  };

  // Latest first: each then goes to the queue's end without a search.
  for (const step of [...stored].sort((a, b) => seqOf(b) - seqOf(a))) record(step);

  return {
    get: (key) => steps.get(key),
    record,
    release: () => {
      const step = queue.pop();
      if (step) released.add(step.key);
      return step;
    },
    isReleased: (key) => released.has(key),
    replaying: () => queue.length > 0,
    knownSeq: () => known,
    unfinished: () => [...steps.values()].filter((step) => !isFinished(step)),
    finished: () => [...steps.values()].filter(isFinished).map(({ key }) => key),
  };
}

/** What the promise of a completed step resolves to. */
export const resultOf = (step: WireStep): unknown => (step.kind === "sleep" ? undefined : (step.output ?? null));

const UNKNOWN: WireError = { name: "Error", message: "the step failed without saying why" };

/** What a failed step throws into the function. */
export function errorOf(id: string, step: WireStep): Error {
  const error = fromWireError(step.error ?? UNKNOWN);
  return step.kind === "run" ? new StepError(id, step.attempt, error) : error;
}
