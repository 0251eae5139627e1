/** What the HTTP API needs of the server around it. Types only: who implements them is `main.ts`'s business. */
import type { WireError } from "@rotorsh/sdk/protocol";
import type { Fit } from "../core/check.js";
import type { End } from "../core/job.js";
import type { Policy as UrlPolicy } from "../delivery/guard.js";
import type { Metrics } from "../metrics.js";
import type { Checkpoint, Checkpointed } from "../store/checkpoint.js";
import type { Db } from "../store/db.js";
import type { Enqueued, NewJob } from "../store/enqueue.js";
import type { Keyring } from "../store/keyring.js";
import type { NewEvent, Published } from "../store/publish.js";
import type { Startable, Started } from "../store/start-plan.js";

export type Engine = {
  readonly db: Db;
  readonly config: {
    /** `rotor dev`: requests from this machine need no key. */
    readonly dev: boolean;
    readonly publicUrl: string;
    readonly environment: string;
    readonly version: string;
    /** How `/readyz` names the store. */
    readonly store: string;
  };
  /** Where callback and serve URLs may point. */
  readonly policy: UrlPolicy;
  /** Signs the capabilities of `core/token.ts`. */
  readonly tokenSecret: string;
  /** Signing keys and secrets. */
  readonly keyring: Keyring;
  /** One job; shares a commit with other callers'. */
  enqueue(job: NewJob): Promise<Enqueued>;
  /** One run, as its function's options say. */
  start(to: Startable, job: NewJob): Promise<Started>;
  /** Jobs of one queue, all or nothing. */
  enqueueAll(jobs: readonly NewJob[]): Promise<readonly Enqueued[]>;
  publish(events: readonly NewEvent[]): Promise<Published[]>;
  checkpoint(item: Checkpoint): Promise<Checkpointed>;
  /** Ends a job whose endpoint answered 202 and reports back. `stale`: that delivery is over. */
  settleAccepted(jobId: string, delivery: number, end: End): Promise<"settled" | "stale">;
  /** A sign of life of such a job. False: that delivery is over. */
  heartbeat(jobId: string, delivery: number): Promise<boolean>;
  /** Asks the app at this address for its functions and stores them. */
  sync(workspace: string, url: string, move: boolean): Promise<SyncResult>;
  /** Asks the app at this address how its code fares with stored runs. Nothing is stored, and no run is touched. */
  check(workspace: string, url: string, options: CheckOptions): Promise<CheckResult>;
  /** Something may be due now. */
  wake(): void;
  /**
   * Resolves when this job is finished, when the time is over, or when whoever asked has left; the caller then reads. `isNew`:
   * it was stored just now, so it is waited for before it is looked at.
   */
  finished(
    jobId: string,
    ms: number,
    asker: { readonly isGone: () => boolean; readonly isNew?: boolean },
  ): Promise<void>;
  readonly feed: {
    subscribe(listener: (entry: FeedEntry) => void): () => void;
    publish(entry: Omit<FeedEntry, "at">): void;
  };
  /** What this node has counted. */
  readonly metrics: Metrics;
  /** Nothing is delivered: this database belongs to another environment. */
  isHeld(): boolean;
  /** The server is shutting down. */
  readonly draining: () => boolean;
};

export type SyncResult =
  | {
      readonly ok: true;
      readonly app: string;
      readonly url: string;
      /** Ids of functions. */
      readonly added: string[];
      readonly removed: string[];
      /** How many the app has now. */
      readonly functions: number;
    }
  | { readonly ok: false; readonly status: 409 | 422 | 424; readonly message: string };

export type CheckOptions = {
  /** Only this one. */
  readonly function?: string | undefined;
  /** Runs of each function. */
  readonly limit: number;
};

/** How the code of one function fares with its stored runs. */
export type FunctionCheck = {
  readonly function: string;
  /** False: the app no longer has it, so its unfinished runs would wait in vain. */
  readonly served: boolean;
  /** Unfinished runs, counted up to `limits.checkLooked`. */
  readonly unfinished: number;
  readonly fits: number;
  /** Finished runs that come to another end. */
  readonly otherwise: number;
  readonly diverges: number;
  readonly errors: number;
  /** Unfinished runs that were not asked about. */
  readonly unchecked: number;
};

export type CheckResult =
  | {
      readonly ok: true;
      readonly app: string;
      readonly functions: readonly FunctionCheck[];
      readonly diverging: readonly ({
        readonly function: string;
        readonly runId: string;
      } & Pick<Extract<Fit, { kind: "diverges" }>, "step" | "recorded" | "asked">)[];
      readonly failing: readonly { readonly function: string; readonly runId: string; readonly error: WireError }[];
    }
  | { readonly ok: false; readonly status: 404 | 422 | 424; readonly message: string };

/** Something that happened in a workspace, as `GET /v1/stream` tells it. All of it can be written as JSON. */
export type FeedEntry = {
  readonly workspace: string;
  /** RFC 3339. */
  readonly at: string;
  /** `enqueued`, `delivery`, `step`, `event`, `changed` and whatever else the server tells. */
  readonly type: string;
  readonly [field: string]: unknown;
};
