/**
 * `@rotorsh/sdk/testing`: a durable function under test, in its own process and on a clock in the test's hand. The code is
 * replayed by the same code as in production; the server beside it is an imitation in memory.
 */

import { type Duration, parseDuration } from "../duration.js";
import { RotorInputError } from "../errors.js";
import type { EventToSend } from "../events.js";
import type { RotorFunction } from "../function.js";
import { withFailures } from "../function-failure.js";
import { type Jsonify, toJsonText, type Untyped } from "../json.js";
import type { Json } from "../protocol.js";
import type { StepContext } from "../step.js";
import type { Matches } from "./match.js";
import { mocked } from "./mock.js";
import { jobView, runView, type TestJob, type TestRun } from "./views.js";
import { World } from "./world.js";

export type { MatchContext, Matches } from "./match.js";
export type { TestJob, TestRun, TestStep, TestWait } from "./views.js";

export type TestOptions = {
  /** All that are to listen for events, or to be invoked. */
  readonly functions: readonly RotorFunction[];
  /** Where the virtual clock begins (default: the time now). */
  readonly now?: Date | string;
  /** Evaluates `match` and `if` where they are CEL: `evaluate` of `@marcbachmann/cel-js` fits. Not needed for objects. */
  readonly matches?: Matches;
  /** By the id of a `step.run`, what is run in place of its code. */
  readonly mocks?: { readonly [stepId: string]: (context: StepContext) => unknown };
};

/** Every method that moves something resolves when all runs have ended, or wait for time, for an event or for the test. */
export type TestRotor = {
  /** The virtual clock. `Date.now()` in the code under test is not moved; with Vitest `vi.setSystemTime(rotor.now)` does it. */
  readonly now: Date;
  /** Starts a run, as `rotor.runs.start` does. */
  start<Data, Result>(
    fn: RotorFunction<Data, Result>,
    data?: Data,
    options?: { readonly id?: string },
  ): Promise<TestRun<Jsonify<Result>>>;
  /** Publishes an event: starts the runs that it triggers, and ends waits. */
  send(event: EventToSend): Promise<{ readonly id: string; readonly runs: readonly TestRun[] }>;
  send(name: string, data?: unknown): Promise<{ readonly id: string; readonly runs: readonly TestRun[] }>;
  /**
   * Completes a signal.
   * @throws RotorInputError when no run waits for it; the message names those that are waited for.
   */
  signal(id: string, data?: unknown): Promise<void>;
  /** Moves the clock on, stopping wherever something becomes due. */
  advance(duration: Duration): Promise<void>;
  /** All of them, in the order in which they were started. */
  readonly runs: readonly TestRun[];
  /**
   * The run of this function that was started last.
   * @throws RotorInputError when none was started.
   */
  runOf<Result>(fn: RotorFunction<never, Result>): TestRun<Jsonify<Result>>;
  /** The events that steps have sent. */
  readonly sent: readonly EventToSend<Untyped>[];
  /** The callback jobs that steps have enqueued. Nothing carries them out: the test ends those that are waited for. */
  readonly enqueued: readonly TestJob[];
};

const jsonOf = (data: unknown, what: string): Json => JSON.parse(toJsonText(data, what, 1024 * 1024));

function instantOf(now: Date | string | undefined): number {
  const ms = now === undefined ? Date.now() : new Date(now).getTime();
  if (Number.isNaN(ms))
    throw new RotorInputError('testRotor: now is a Date or an ISO date such as "2027-01-31T09:00:00Z"');
  return ms;
}

/**
 * A small world for unit tests: `const rotor = testRotor({ functions: [outreach] })`, then send events, move the clock and
 * look at the runs. Not imitated, since they are the server's: limits, singleton, debounce, batch, schedules. A failed run's
 * `onFailure` is a run like others, of the function `<id>.on-failure`.
 * @throws RotorInputError for two functions of one id, or a `now` that is no date.
 */
export function testRotor({ functions, now, matches, mocks = {} }: TestOptions): TestRotor {
  const world = new World(
    withFailures(functions).map((fn) => mocked(fn, mocks)),
    instantOf(now),
    matches,
  );
  const settled = async <T>(value: T): Promise<T> => {
    await world.settle();
    return value;
  };

  return {
    get now() {
      return new Date(world.nowMs);
    },
    start: async (fn, data, { id } = {}) => {
      if (!world.has(fn.id)) throw new RotorInputError(`testRotor was not given the function "${fn.id}"`);
      return settled(runView(world, world.start(fn.id, { data: jsonOf(data, "The data") }, { key: id })));
    },
    send: async (given: string | EventToSend, data?: unknown) => {
      const { data: content, ...event } = typeof given === "string" ? { name: given, data } : given;
      if (typeof event.name !== "string" || event.name === "") throw new RotorInputError("send: give the event a name");
      const { id, runs } = world.publish({ ...event, data: jsonOf(content, `The data of event "${event.name}"`) });
      return settled({ id, runs: runs.map((run) => runView(world, run)) });
    },
    signal: async (id, data) => {
      if (!world.completeSignal(id, jsonOf(data, "The data"))) {
        const waited = world.runs.flatMap((run) => runView(world, run).waitsFor.flatMap(({ signals }) => signals));
        throw new RotorInputError(
          `No run waits for the signal "${id}"; waited for: ${waited.map((one) => `"${one}"`).join(", ") || "none"}`,
        );
      }
      await world.settle();
    },
    advance: (duration) => world.advance(parseDuration(duration, { name: "advance" })),
    get runs() {
      return world.runs.map((run) => runView(world, run));
    },
    runOf: (fn) => {
      const run = world.runs.findLast((one) => one.fn === fn.id);
      if (!run) throw new RotorInputError(`No run of "${fn.id}" was started`);
      return runView(world, run);
    },
    get sent() {
      return [...world.sent];
    },
    get enqueued() {
      return world.jobs.map((job) => jobView(world, job));
    },
  };
}
