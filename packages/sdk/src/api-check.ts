/** What a check of code against stored runs is asked and answers. */

import type { StepKind, WireError } from "./protocol.js";

export type CheckOptions = {
  /** Only runs of this function (default: of all that the app has or had). */
  readonly function?: string;
  /** Runs of each function, from 1 to 1,000 (default 100): unfinished ones first, spread over the steps they stand at. */
  readonly limit?: number;
};

/** How code fares with stored runs. */
export type Check = {
  readonly app: string;
  readonly functions: readonly {
    readonly function: string;
    /** False: the app no longer has it, so its unfinished runs would wait in vain. */
    readonly served: boolean;
    /** Unfinished runs, counted up to 5,000. */
    readonly unfinished: number;
    /** Runs that go on, or come to the same end. */
    readonly fits: number;
    /** Finished runs that come to another end: nothing happens to them. */
    readonly otherwise: number;
    /** Runs that would be held. */
    readonly diverges: number;
    /** Runs in which the code throws, or that could not be told of. */
    readonly errors: number;
    /** Unfinished runs that were not asked about. */
    readonly unchecked: number;
  }[];
  readonly diverging: readonly {
    readonly function: string;
    readonly runId: string;
    readonly step: string;
    readonly recorded: StepKind;
    /** Null: the code no longer reaches the step. */
    readonly asked: StepKind | null;
  }[];
  readonly failing: readonly { readonly function: string; readonly runId: string; readonly error: WireError }[];
};
