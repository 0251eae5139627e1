/**
 * Replays what is stored of a run against the code as it is now, to see whether they fit. Nothing is run, sent or stored:
 * the code gets its results in the order in which it got them, and is looked at where it stops. Real deliveries are
 * `replay.ts`, whose rules 1, 2 and 10 are these.
 */

import type { AnswerBody, End } from "./end.js";
import { answerTo } from "./end.js";
import { contextFor } from "./function-context.js";
import { lazyAbort } from "./lazy-abort.js";
import { createLedger, errorOf, resultOf } from "./ledger.js";
import type { WireStep } from "./protocol.js";
import type { ReplayOptions } from "./replay-options.js";
import type { StepCall } from "./step-call.js";
import { createStep } from "./step-call.js";
import { turn } from "./turn.js";

/** Code that does not reach a stored wait by then does not reach it. */
const GRACE_MS = 1_000;
/** Code that asks for no step may be busy with work of its own for so many times that. */
const BUSY = 10;

export type CheckOptions = Pick<
  ReplayOptions,
  "request" | "steps" | "handler" | "maxSteps" | "env" | "traceparent" | "graceMs"
>;

type Open = {
  readonly call: StepCall;
  readonly resolve: (value: unknown) => void;
  readonly reject: (e: Error) => void;
};

/** How the code fares: `checked`, `diverged`, or the end that it comes to. Rejects only for a bug of ours. */
export async function check(options: CheckOptions): Promise<AnswerBody> {
  const { request, steps, handler, maxSteps, env, traceparent, graceMs } = options;
  const ledger = createLedger(steps);
  const uses = new Map<string, number>();
  const asked = new Set<string>();
  const open = new Map<string, Open>();
  const thrown = new WeakMap<object, string>();
  const over = lazyAbort();
  let end: End | undefined;
  let diverged: AnswerBody | undefined;
  let wake = (): void => {};

  const settle = ({ call, resolve, reject }: Open, step: WireStep): void => {
    open.delete(step.key);
    if (step.state === "completed") {
      resolve(resultOf(step));
      return;
    }
    const error = errorOf(call.id, step);
    thrown.set(error, step.key);
    reject(error);
  };

  const ask = (call: StepCall): Promise<unknown> => {
    const use = (uses.get(call.id) ?? 0) + 1;
    uses.set(call.id, use);
    const key = use === 1 ? call.id : `${call.id}#${use}`;
    const stored = ledger.get(key);
    if (stored && stored.kind !== call.kind) {
      diverged ??= { status: "diverged", step: key, recorded: stored.kind, asked: call.kind };
    }
    asked.add(key);
    wake();
    return new Promise((resolve, reject) => {
      const one = { call, resolve, reject };
      open.set(key, one);
      if (stored && ledger.isReleased(key)) settle(one, stored);
    });
  };

  const unreached = (): AnswerBody | undefined => {
    const missing = ledger.unfinished().find(({ key }) => !asked.has(key));
    return missing && { status: "diverged", step: missing.key, recorded: missing.kind, asked: null };
  };

  const release = (): boolean => {
    for (let step = ledger.release(); step; step = ledger.release()) {
      const one = open.get(step.key);
      if (!one) continue;
      settle(one, step);
      return true;
    }
    return false;
  };

  /** Resolves true when the code asks or ends, false when the time is over before. */
  const moves = async (ms: number): Promise<boolean> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const moved = await new Promise<boolean>((resolve) => {
      wake = () => resolve(true);
      timer = setTimeout(() => resolve(false), ms);
    });
    clearTimeout(timer);
    return moved;
  };

  const step = createStep(ask, request.run, maxSteps);
  const context = contextFor(request, { step, over, traceparent, env, speaks: () => false });
  const finish = (how: End): void => {
    end = how;
    wake();
  };
  (async () => handler(context))().then(
    (value) => finish({ kind: "returned", value }),
    (error) => finish({ kind: "threw", error }),
  );

  const look = async (): Promise<AnswerBody> => {
    for (;;) {
      await turn();
      if (diverged) return diverged;
      if (end) return (end.kind === "returned" ? unreached() : undefined) ?? answerTo(end, thrown);
      if (release()) continue;
      const missed = unreached();
      // A step that would run now may be what the code needs to get there.
      const goesOn = [...open.values()].some(({ call }) => call.kind === "run" || call.immediate);
      if (goesOn || (open.size > 0 && !missed)) return { status: "checked", next: [...open.keys()] };
      if (await moves((graceMs ?? GRACE_MS) * (open.size > 0 ? 1 : BUSY))) continue;
      return missed ?? tooBusy();
    }
  };
  try {
    return await look();
  } finally {
    over.abort(() => new DOMException("This check of the run is over", "AbortError"));
  }
}

const tooBusy = (): AnswerBody => ({
  status: "failed",
  error: {
    name: "CheckTimeoutError",
    message: "The code between steps was busy with work of its own for too long: it could not be told where it goes on",
  },
  retriable: true,
});
