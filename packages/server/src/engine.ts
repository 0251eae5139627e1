/** Store, couriers and loops as one thing that HTTP can be built on; started and stopped together. */

import { decide, type End, FINISHED } from "./core/job.js";
import { limits } from "./core/limits.js";
import type { Policy } from "./delivery/guard.js";
import type { Pools } from "./delivery/pools.js";
import type { Feed } from "./feed.js";
import type { Engine } from "./http/engine.js";
import { type Carried, carry } from "./loops/courier.js";
import { createDispatcher } from "./loops/dispatcher.js";
import { createLease } from "./loops/lease.js";
import { createRescuer } from "./loops/rescuer.js";
import { createScheduler } from "./loops/scheduler.js";
import { createWaker } from "./loops/waker.js";
import { listApps } from "./store/apps.js";
import { batchWriter } from "./store/batch.js";
import { type Checkpoint, type Checkpointed, checkpoint } from "./store/checkpoint.js";
import type { Db } from "./store/db.js";
import { type Enqueued, enqueue, type NewJob } from "./store/enqueue.js";
import type { LoadedJob } from "./store/load.js";
import { isDisconnect } from "./store/outage.js";
import { publish } from "./store/publish.js";
import { renewAccepted } from "./store/rescue.js";
import { type Settled, type Settlement, settle } from "./store/settle.js";
import { readHeldJob } from "./store/views.js";
import { sync } from "./sync.js";

export type EngineOptions = {
  readonly db: Db;
  readonly pools: Pools;
  readonly policy: Policy;
  readonly feed: Feed;
  readonly tokenSecret: string;
  readonly secrets: (workspace: string) => Promise<readonly string[]>;
  readonly held: boolean;
  readonly nodeLabel: string;
  readonly config: Engine["config"];
  readonly createWorkspace: Engine["createWorkspace"];
  readonly onError: (error: unknown) => void;
};

export type RunningEngine = {
  readonly engine: Engine;
  start(): Promise<void>;
  stop(drainMs: number): Promise<void>;
};

/** A finish on another node is seen by looking; one on this node is told. */
const FINISH_POLL_MS = 500;

export function createEngine(options: EngineOptions): RunningEngine {
  const { db, pools, feed, onError } = options;
  let draining = false;
  const held = (): boolean => options.held;

  const enqueuer = batchWriter<NewJob, Enqueued>((jobs) => db.transact((t) => enqueue(t, jobs)), {
    size: limits.writeBatch,
    isEverybodys: isDisconnect,
  });
  const settler = batchWriter<Settlement, Settled>((items) => settle(db, items), {
    size: limits.writeBatch,
    isEverybodys: isDisconnect,
  });
  const yields = (nodeId: string | null): boolean => draining && nodeId === lease.nodeId();
  const checkpointer = batchWriter<Checkpoint, Checkpointed>((items) => checkpoint(db, items, yields), {
    size: limits.writeBatch,
    isEverybodys: isDisconnect,
  });

  const finishing = new Map<string, Set<() => void>>();
  const tellFinished = (jobId: string): void => {
    for (const tell of finishing.get(jobId) ?? []) tell();
  };
  const resyncing = new Set<number>();

  const lease = createLease({ db, label: options.nodeLabel, onLost: () => dispatcher.abandon(), onError });
  const waker = createWaker({ db, nodes: () => lease.nodes(), onWake: () => dispatcher.loop.wake(), onError });
  const wake = (): void => {
    dispatcher.loop.wake();
    waker.tell();
  };

  const onSettled = (job: LoadedJob, settled: Settled, carried: Carried): void => {
    if (settled.kind === "settled") {
      if ((FINISHED as readonly string[]).includes(settled.state)) tellFinished(job.jobId);
      if (settled.resumed.length > 0) waker.tell();
    }
    feed.publish({
      workspace: job.queue.workspace,
      type: "delivery",
      job: job.jobId,
      queue: job.queue.name,
      kind: job.queue.kind,
      attempt: job.attempt,
      delivery: job.delivery,
      outcome: settled.kind === "settled" ? settled.outcome : "stale",
      state: settled.kind === "settled" ? settled.state : null,
      status: carried.status,
      duration_ms: Math.round(carried.durationMs),
      error: "error" in carried.end ? carried.end.error.message : null,
    });
    if (carried.hash !== undefined && carried.hash !== job.queue.appHash) void resync(job);
  };

  /** The app's list of functions has changed: it is read again, once at a time. */
  const resync = async (job: LoadedJob): Promise<void> => {
    const { appId, workspace, url } = job.queue;
    if (appId === null || resyncing.has(appId)) return;
    resyncing.add(appId);
    try {
      const result = await sync(
        { db, pools, dev: options.config.dev, secrets: options.secrets },
        workspace,
        url,
        false,
      );
      if (!result.ok) onError(new Error(result.message));
    } catch (error) {
      onError(error);
    } finally {
      resyncing.delete(appId);
    }
  };

  const dispatcher = createDispatcher({
    db,
    lease,
    settler,
    held,
    onSettled,
    onError,
    carry: (job, steps, signal) =>
      carry(
        { pools, publicUrl: options.config.publicUrl, tokenSecret: options.tokenSecret, secrets: options.secrets },
        job,
        steps,
        signal,
      ),
  });
  const rescuer = createRescuer({ db, lease, held, onRescued: wake, onError });
  const scheduler = createScheduler({ db, held, onDue: wake, onError });

  const engine: Engine = {
    db,
    config: options.config,
    policy: options.policy,
    tokenSecret: options.tokenSecret,
    feed,
    async enqueue(job) {
      const result = await enqueuer.write(job);
      if (!result.duplicate) wake();
      return result;
    },
    async enqueueAll(jobs) {
      const results = await db.transact((t) => enqueue(t, jobs));
      wake();
      return results;
    },
    async publish(events) {
      const results = await publish(db, events);
      if (results.some((each) => each.runs.length > 0 || each.resumed.length > 0)) wake();
      for (const [index, event] of events.entries()) {
        const { id, runs, resumed, duplicate } = results[index]!;
        feed.publish({
          workspace: event.workspace,
          type: "event",
          event: event.name,
          id,
          duplicate,
          runs: runs.map((run) => run.id),
          resumed,
        });
      }
      return results;
    },
    async checkpoint(item) {
      const result = await checkpointer.write(item);
      const job = dispatcher.inHand(item.jobId);
      if (job !== undefined && item.reports.length > 0) {
        for (const { key, kind, state, attempt } of result.steps) {
          if (!item.reports.some((report) => report.key === key)) continue;
          feed.publish({
            workspace: job.queue.workspace,
            type: "step",
            job: item.jobId,
            function: job.queue.name,
            key,
            kind,
            state,
            attempt,
          });
        }
      }
      // Children, and what sent events resumed, may be due.
      if (
        item.reports.some((report) => report.kind === "invoke" || report.kind === "enqueue" || report.kind === "send")
      )
        wake();
      return result;
    },
    async settleAccepted(jobId, delivery, end: End) {
      const job = await readHeldJob(db, jobId);
      if (job === undefined || job.state !== "active" || job.delivery !== delivery) return "stale";
      const policy = { maxAttempts: job.maxAttempts, backoff: job.backoff };
      const outcome = decide(
        { kind: "callback", attempt: job.attempt, asyncTimeoutMs: limits.asyncTimeoutMs },
        end,
        policy,
        Math.random(),
      );
      if (outcome === undefined) return "stale";
      const settled = await settler.write({
        jobId,
        delivery,
        attempt: job.attempt,
        parentId: job.parentId,
        outcome,
        policy,
        status: null,
        durationMs: 0,
        random: Math.random(),
      });
      if (settled.kind === "settled") tellFinished(jobId);
      wake();
      return settled.kind;
    },
    heartbeat: (jobId, delivery) => renewAccepted(db, jobId, delivery),
    sync: async (workspace, url, move) => {
      const result = await sync({ db, pools, dev: options.config.dev, secrets: options.secrets }, workspace, url, move);
      if (result.ok) wake();
      return result;
    },
    createWorkspace: options.createWorkspace,
    wake,
    async finished(jobId, ms, signal) {
      const until = performance.now() + ms;
      const tellers = finishing.get(jobId) ?? new Set();
      finishing.set(jobId, tellers);
      let told = (): void => undefined;
      try {
        for (;;) {
          const left = until - performance.now();
          const next = new Promise<void>((resolve) => {
            told = resolve;
            tellers.add(told);
          });
          const job = await readHeldJob(db, jobId);
          if (job === undefined || FINISHED.includes(job.state) || left <= 0 || signal?.aborted) return;
          let timer: NodeJS.Timeout | undefined;
          const pause = new Promise<void>((resolve) => {
            timer = setTimeout(resolve, Math.min(left, FINISH_POLL_MS));
          });
          await Promise.race([next, pause]);
          clearTimeout(timer);
          tellers.delete(told);
        }
      } finally {
        tellers.delete(told);
        if (tellers.size === 0) finishing.delete(jobId);
      }
    },
    isHeld: held,
    draining: () => draining,
  };

  return {
    engine,
    async start() {
      await lease.start();
      await waker.start();
      for (const loop of [dispatcher.loop, rescuer, scheduler]) loop.start();
      // Apps may have changed while nobody looked. They are not ours to speak to while the database is another's.
      if (held()) return;
      for (const app of await listApps(db, null)) {
        void sync(
          { db, pools, dev: options.config.dev, secrets: options.secrets },
          app.workspace,
          app.url,
          false,
        ).catch(onError);
      }
    },
    async stop(drainMs) {
      draining = true;
      await Promise.all([rescuer.stop(), scheduler.stop()]);
      await dispatcher.drain(drainMs);
      await Promise.all([enqueuer.idle(), settler.idle(), checkpointer.idle()]);
      await waker.stop();
      await lease.stop();
    },
  };
}
