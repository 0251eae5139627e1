/**
 * What a developer is told of code that will surprise him: in development only, each sentence once a process. Nothing here
 * changes what happens.
 */

import type { Asked } from "./asked.js";
import type { AnswerBody } from "./end.js";
import type { StepKind } from "./protocol.js";
import { warnOnce } from "./warn.js";

/** Looks on while one delivery is replayed. */
export type Advice = {
  readonly asked: (asked: Asked) => void;
  /** The code asks for a step whose turn in the order of results has passed. */
  readonly late: (key: string) => void;
  /**
   * The delivery is answered.
   * @param open steps that the code has asked for and that have not ended.
   * @param missed finds a finished step that the code has not asked for.
   */
  readonly answered: (status: AnswerBody["status"], open: Iterable<Asked>, missed: () => string | undefined) => void;
};

const CAUSES =
  "Between steps, code must do the same each time: put Date.now(), Math.random(), reads and every other await into a step.run";

/** They take an event or a signal from whoever waits after them. */
const WAITS: ReadonlySet<string> = new Set(["event", "signal", "any"] satisfies StepKind[]);

/**
 * @param replayed whether this process has delivered the run before: then its code is the same, and another path is no
 * change that somebody meant.
 */
function adviceFor(fn: string, replayed: boolean): Advice {
  const warn = (topic: string, key: string, sentence: string) =>
    warnOnce(`${topic}:${fn}:${key}`, `function "${fn}": ${sentence}`);
  const leftBehind = (key: string) =>
    warn(
      "left-behind",
      key,
      `the wait "${key}" was left behind, as by a Promise.race that something else won. Use step.waitForAny, which drops ` +
        "what has not come, or the wait's own timeout",
    );
  const waits = new Map<string, Asked>();

  const returned = (open: Iterable<Asked>): void => {
    for (const { key, call } of open) {
      if (WAITS.has(call.kind)) leftBehind(key);
      // A sleep that lost a race is a time limit, and did its work.
      else if (call.kind !== "sleep") {
        const sentence = `it returned before its step "${key}" had ended, which is dropped. Is there an await missing?`;
        warn("not-awaited", key, sentence);
      }
    }
  };

  return {
    asked: (asked) => {
      const { call, before } = asked;
      if (!WAITS.has(call.kind)) return;
      const earlier = waits.get(call.id);
      waits.set(call.id, asked);
      // Of those that are asked for together, as by a Promise.all, none has been left.
      if (earlier && earlier.phase.at !== "settled" && earlier.before !== before) leftBehind(earlier.key);
    },
    late: (key) => {
      if (replayed) warn("late", key, `step "${key}" is asked for later than when it was recorded. ${CAUSES}`);
    },
    answered: (status, open, missed) => {
      if (status === "completed") returned(open);
      const key = replayed && (status === "completed" || status === "waiting") ? missed() : undefined;
      if (key !== undefined)
        warn("missed", key, `step "${key}" is finished, and the code no longer asks for it. ${CAUSES}`);
    },
  };
}

/** Runs that are remembered: as many as a developer looks at. */
const MAX_RUNS = 1_000;

/** Gives advice by run, and knows which runs this process has delivered before. */
export function createAdviser(): (fn: string, run: string) => Advice {
  const known = new Set<string>();
  return (fn, run) => {
    const replayed = known.has(run);
    if (known.size >= MAX_RUNS) known.clear();
    known.add(run);
    return adviceFor(fn, replayed);
  };
}
