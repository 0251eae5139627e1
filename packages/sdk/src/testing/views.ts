/** What a test sees of runs and jobs: read anew at each look, so that one object shows how things stand. */

import { fromWireError } from "../errors.js";
import type { Untyped } from "../json.js";
import type { Json, StepKind, WireEvent } from "../protocol.js";
import { copied, type RunState, type StoredJob, type StoredRun, type StoredStep } from "./stored-run.js";
import type { World } from "./world.js";

export type TestStep = {
  /** The step's id; `id#n` from its second use on. */
  readonly key: string;
  readonly kind: StepKind;
  /** `dropped`: unfinished when its run ended. */
  readonly state: "waiting" | "completed" | "failed" | "dropped";
  readonly attempt: number;
  readonly output?: Untyped;
  readonly error?: Error;
  /** What its attempts threw that were followed by another. */
  readonly failures: readonly Error[];
};

/** A step that is not finished, and what would finish it. */
export type TestWait = {
  readonly key: string;
  readonly kind: StepKind;
  /** Names of events. */
  readonly events: readonly string[];
  /** Ids of signals. */
  readonly signals: readonly string[];
  /** When time ends it, or makes its next attempt. */
  readonly until: Date;
};

export type TestRun<Result = Untyped> = {
  readonly id: string;
  /** The function's id. */
  readonly function: string;
  readonly event: WireEvent;
  /** `active` only while the test does not await what it has set in motion. */
  readonly state: RunState;
  /** What the function returned; undefined unless it is completed. */
  readonly result: Result | undefined;
  /** Why it failed. */
  readonly error: Error | undefined;
  /** Why it is held: its code asks for other steps than are stored. */
  readonly held: string | undefined;
  /** Finished ones in the order of their results, then the others. */
  readonly steps: readonly TestStep[];
  readonly waitsFor: readonly TestWait[];
  /** Ends it, as `rotor.runs.cancel` does. */
  readonly cancel: () => Promise<void>;
};

/** A callback job that a step has enqueued. */
export type TestJob = {
  readonly id: string;
  readonly queue: string;
  readonly payload: Untyped;
  /** `job_id`, `delay_ms`, `priority`, `tags`, `max_attempts`, `timeout_ms`, where given. */
  readonly options: { readonly [name: string]: unknown };
  readonly runId: string;
  /** The step that enqueued it. */
  readonly step: string;
  /** Ends it as its endpoint would, with this output; a step that waits for it goes on. */
  readonly complete: (output?: Json) => Promise<void>;
  /** Ends it as a dead letter. */
  readonly fail: (message?: string) => Promise<void>;
};

const stepView = ({ key, kind, state, attempt, output, error, failures }: StoredStep): TestStep => ({
  key,
  kind,
  state,
  attempt,
  failures: failures.map(fromWireError),
  ...(output !== undefined && { output: copied(output) }),
  ...(error !== undefined && { error: fromWireError(error) }),
});

const waitView = ({ key, kind, watches, dueMs }: StoredStep): TestWait => ({
  key,
  kind,
  events: watches.flatMap((watch) => ("event" in watch ? [watch.event] : [])),
  signals: watches.flatMap((watch) => ("signal" in watch ? [watch.signal] : [])),
  until: new Date(dueMs!),
});

export function runView<Result>(world: World, run: StoredRun): TestRun<Result> {
  return {
    id: run.id,
    function: run.fn,
    event: run.event,
    get state() {
      return run.state;
    },
    get result() {
      return copied(run.output) as Result | undefined;
    },
    get error() {
      return run.error && fromWireError(run.error);
    },
    get held() {
      return run.held;
    },
    get steps() {
      return run.inOrder().map(stepView);
    },
    get waitsFor() {
      return run.unfinished().map(waitView);
    },
    cancel: () => {
      world.cancel(run);
      return world.settle();
    },
  };
}

export function jobView(world: World, { id, queue, payload, options, run, step }: StoredJob): TestJob {
  return {
    id,
    queue,
    payload: copied(payload),
    options,
    runId: run.id,
    step,
    complete: (output = null) => {
      world.childEnded(id, { state: "completed", output });
      return world.settle();
    },
    fail: (message = "The job failed") => {
      world.childEnded(id, { state: "failed", error: { name: "Error", message } });
      return world.settle();
    },
  };
}
