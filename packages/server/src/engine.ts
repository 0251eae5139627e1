/**
 * Store, couriers and loops as one thing that HTTP can be built on; started and stopped together. Long, since each is told
 * here of what the others did, and that is easier to see in one place.
 */

import { check } from "./check.js";
import { decide, type End, FINISHED } from "./core/job.js";
import { limits } from "./core/limits.js";
import { TOO_MANY_STEPS } from "./core/report-limits.js";
import type { SystemRetention } from "./core/retention.js";
import type { Deliver } from "./delivery/deliver.js";
import type { Policy } from "./delivery/guard.js";
import type { Pools } from "./delivery/pools.js";
import type { Feed } from "./feed.js";
import type { Engine } from "./http/engine.js";
import { readInboxRow } from "./http/inbox-row.js";
import { createAdoption } from "./loops/adoption.js";
import { type Carried, type CourierOptions, carry } from "./loops/courier.js";
import { createDispatcher } from "./loops/dispatcher.js";
import { createInbox } from "./loops/inbox.js";
import { createKeeper } from "./loops/keeper.js";
import { createLease } from "./loops/lease.js";
import { createPruner } from "./loops/pruner.js";
import { createRescuer } from "./loops/rescuer.js";
import { createScheduler } from "./loops/scheduler.js";
import { createWaker } from "./loops/waker.js";
import { createWatcher } from "./loops/watcher.js";
import { createMetrics, type OfQueue } from "./metrics.js";
import { listApps } from "./store/apps.js";
import { batchWriter } from "./store/batch.js";
import { type Checkpoint, type Checkpointed, checkpoint } from "./store/checkpoint.js";
import type { Db } from "./store/db.js";
import { type Enqueued, enqueueAll, enqueueEach, type NewJob } from "./store/enqueue.js";
import type { Keyring } from "./store/keyring.js";
import type { LoadedJob } from "./store/load.js";
import { isDisconnect } from "./store/outage.js";
import { type NewEvent, type Published, publish } from "./store/publish.js";
import { renewAccepted } from "./store/rescue.js";
import { type Settled, type Settlement, settle } from "./store/settle.js";
import { startIn } from "./store/start.js";
import { planStart } from "./store/start-plan.js";
import { createStepRoom } from "./store/step-room.js";
import { unfinishedReader } from "./store/unfinished.js";
import { readHeldJob } from "./store/views.js";
import { sync } from "./sync.js";

export type EngineOptions = {
  readonly db: Db;
  readonly pools: Pools;
  /** How jobs are delivered; a fault run makes it fail. */
  readonly deliver: Deliver;
  readonly policy: Policy;
  readonly feed: Feed;
  readonly tokenSecret: string;
  readonly keyring: Keyring;
  /** At the start; while it is, the engine looks whether the database was adopted. */
  readonly held: boolean;
  /** The server's, which the database is to belong to. */
  readonly environment: string;
  readonly nodeLabel: string;
  readonly retention: SystemRetention;
  readonly config: Engine["config"];
  readonly onError: (error: unknown) => void;
};

export type RunningEngine = {
  readonly engine: Engine;
  start(): Promise<void>;
  stop(drainMs: number): Promise<void>;
};

const ofQueue = ({ queue: { workspace, name, kind } }: LoadedJob): OfQueue => ({ workspace, queue: name, kind });

const isDueNow = (job: NewJob): boolean => (job.delayMs ?? 0) === 0 && job.runAt === undefined;

/** A finish on another node is seen by looking; one on this node is told. */
const FINISH_POLL_MS = 500;

export function createEngine(options: EngineOptions): RunningEngine {
  const { db, pools, feed, onError } = options;
  let draining = false;
  const { keyring } = options;
  const secrets = (workspace: string, queueId?: number) => keyring.signing(workspace, queueId);

  /** Those that are due at once, by their queues: what this node may claim by the same commit. */
  const dueNow = (jobs: readonly NewJob[]): Map<number, number> => {
    const counts = new Map<number, number>();
    for (const job of jobs) if (isDueNow(job)) counts.set(job.queueId, (counts.get(job.queueId) ?? 0) + 1);
    return counts;
  };
  const enqueuer = batchWriter<NewJob, Enqueued>(
    async (jobs) => (await dispatcher.along(dueNow(jobs), (claim) => enqueueEach(db, jobs, claim))).enqueued,
    { size: limits.writeBatch, isEverybodys: isDisconnect },
  );
  const publisher = batchWriter<NewEvent, Published>((events) => publish(db, events), {
    size: limits.eventBatch,
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

  const stepRoom = createStepRoom(db);
  const unfinished = unfinishedReader(db);

  const finishing = new Map<string, Set<() => void>>();
  const tellFinished = (jobId: string): void => {
    for (const tell of finishing.get(jobId) ?? []) tell();
  };
  const resyncing = new Set<number>();
  const metrics = createMetrics();

  const lease = createLease({ db, label: options.nodeLabel, onLost: () => dispatcher.abandon(), onError });
  const waker = createWaker({ db, nodes: () => lease.nodes(), onWake: () => dispatcher.wake(), onError });
  const wake = (queueId?: number): void => {
    dispatcher.wake(queueId);
    waker.tell();
  };

  const onSettled = (job: LoadedJob, settled: Settled, carried: Carried): void => {
    stepRoom.forget(job.jobId);
    const outcome = settled.kind === "settled" ? settled.outcome : "stale";
    metrics.delivered(ofQueue(job), outcome, carried.durationMs, Math.max(0, job.queuedMs ?? 0));
    if (settled.kind === "settled") {
      watcher.note(job.queue.id, settled.outcome, Math.max(0, job.queuedMs ?? 0));
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
      outcome,
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
      const result = await sync({ db, pools, dev: options.config.dev, now: lease.now, secrets }, workspace, url, false);
      if (!result.ok) onError(new Error(result.message));
    } catch (error) {
      onError(error);
    } finally {
      resyncing.delete(appId);
    }
  };

  /** Apps may have changed while nobody looked. */
  const syncApps = async (): Promise<void> => {
    for (const app of await listApps(db, null)) {
      void sync({ db, pools, dev: options.config.dev, now: lease.now, secrets }, app.workspace, app.url, false).catch(
        onError,
      );
    }
  };

  const adoption = createAdoption({
    db,
    environment: options.environment,
    held: options.held,
    async onAdopted() {
      wake();
      await syncApps();
    },
    onError,
  });
  const { held } = adoption;
  const courier: CourierOptions = {
    pools,
    deliver: options.deliver,
    publicUrl: options.config.publicUrl,
    now: lease.now,
    tokenSecret: options.tokenSecret,
    secrets,
    secretValues: keyring.secretValues,
  };
  const dispatcher = createDispatcher({
    db,
    lease,
    settler,
    held,
    onSettled,
    onBlocked: () => keeper.wake(),
    onError,
    carry: async (job, history, stop) => {
      const carried = await carry(courier, job, history, stop);
      const { end } = carried;
      const reports = end.kind === "waiting" || end.kind === "yield" ? end.reports : [];
      const fits = reports.length === 0 || (await stepRoom.fits(job.jobId, job.delivery, reports, history.count));
      return fits ? carried : { ...carried, end: { kind: "failed", final: true, error: TOO_MANY_STEPS } };
    },
  });
  const rescuer = createRescuer({ db, lease, held, onRescued: wake, onError });
  const scheduler = createScheduler({ db, held, onDue: wake, onError });
  const pruner = createPruner({ db, retention: options.retention, held, onError });
  const watcher = createWatcher({ db, held, onTold: wake, onError });
  const keeper = createKeeper({ db, held, onOpened: wake, onError });

  const tellPublished = (event: NewEvent, { id, runs, resumed, cancelled, duplicate, dueAt }: Published): void => {
    if (!duplicate) metrics.published(event.workspace, { started: runs.length, resumed: resumed.length });
    feed.publish({
      workspace: event.workspace,
      type: "event",
      event: event.name,
      id,
      duplicate,
      runs: runs.map((run) => run.id),
      resumed,
      ...(cancelled.length > 0 && { cancelled }),
      ...(dueAt !== null && { due_at: dueAt.toISOString() }),
    });
  };
  const inbox = createInbox({
    db,
    held,
    read: readInboxRow,
    onMoved({ events }) {
      wake();
      for (const { event, published } of events) tellPublished(event, published);
    },
    onError,
  });

  const engine: Engine = {
    db,
    config: {
      ...options.config,
      // A server that is not held is of the database's environment.
      get environment() {
        return held() ? options.config.environment : options.environment;
      },
    },
    policy: options.policy,
    tokenSecret: options.tokenSecret,
    keyring,
    feed,
    metrics,
    async enqueue(job) {
      const result = await enqueuer.write(job);
      // One that is due later may be due before what the next look is for.
      const isDue = isDueNow(job) && !result.replaced;
      if ((!result.duplicate || result.replaced) && !result.idle) wake(isDue ? job.queueId : undefined);
      if (result.blocked) keeper.wake();
      return result;
    },
    async start(to, job) {
      const plan = planStart({ to, job });
      if (plan.special === undefined) return { kind: "started", ...(await engine.enqueue(plan.job)) };
      const [started] = await db.transact((t) => startIn(t, db.schema, [{ to, job }]));
      // Where it was skipped nothing may have become due, nor where it was there; a look costs little.
      wake();
      if (started!.kind !== "skipped" && started!.blocked) keeper.wake();
      return started!;
    },
    async enqueueAll(jobs) {
      const results = await enqueueAll(db, jobs);
      if (results.some((result) => !result.idle)) wake();
      if (results.some((result) => result.blocked)) keeper.wake();
      return results;
    },
    async publish(events) {
      // Those of one request are published together, or none; single ones share a commit with others'.
      const results = events.length === 1 ? [await publisher.write(events[0]!)] : await publish(db, events);
      if (results.some((each) => each.runs.length + each.resumed.length + each.cancelled.length > 0)) wake();
      for (const [index, event] of events.entries()) tellPublished(event, results[index]!);
      return results;
    },
    async checkpoint(item) {
      const { jobId, delivery, reports } = item;
      dispatcher.heard(jobId);
      const loaded = dispatcher.stepsInHand(jobId, delivery);
      if (reports.length > 0 && !(await stepRoom.fits(jobId, delivery, reports, loaded)))
        return { verdict: "invalid", steps: [], error: TOO_MANY_STEPS };
      const result = await checkpointer.write(item);
      const job = dispatcher.inHand(jobId);
      if (job !== undefined && item.reports.length > 0) {
        for (const { key, kind, state, attempt } of result.steps) {
          const report = item.reports.find((each) => each.key === key);
          if (report === undefined) continue;
          metrics.stepped(ofQueue(job), kind, state, "duration_ms" in report ? report.duration_ms : undefined);
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
        kind: "callback",
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
      const result = await sync({ db, pools, dev: options.config.dev, now: lease.now, secrets }, workspace, url, move);
      if (result.ok) wake();
      return result;
    },
    check: (workspace, url, asked) => {
      const { dev, publicUrl } = options.config;
      return check(
        { db, pools, dev, now: lease.now, secrets, publicUrl, tokenSecret: options.tokenSecret },
        workspace,
        url,
        asked,
      );
    },
    wake,
    async finished(jobId, ms, { isGone, isNew = false }) {
      const until = performance.now() + ms;
      const tellers = finishing.get(jobId) ?? new Set();
      finishing.set(jobId, tellers);
      let told = (): void => undefined;
      let looks = !isNew;
      try {
        for (;;) {
          const left = until - performance.now();
          const next = new Promise<void>((resolve) => {
            told = resolve;
            tellers.add(told);
          });
          if (left <= 0 || isGone()) return;
          if (looks && !(await unfinished.write(jobId))) return;
          looks = true;
          let timer: NodeJS.Timeout | undefined;
          const pause = new Promise<"over">((resolve) => {
            timer = setTimeout(() => resolve("over"), Math.min(left, FINISH_POLL_MS));
          });
          const ended = await Promise.race([next, pause]);
          clearTimeout(timer);
          if (ended !== "over") return;
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
      adoption.start();
      // What went wrong while no server ran is seen before it is made good.
      await watcher.tick().catch(onError);
      for (const loop of [dispatcher.loop, rescuer, watcher, scheduler, keeper, inbox, pruner]) loop.start();
      // They are not ours to speak to while the database is another's.
      if (!held()) await syncApps();
    },
    async stop(drainMs) {
      draining = true;
      await Promise.all([
        // From now on: a run that yields meanwhile would be delivered again here, and begin its next step.
        dispatcher.drain(drainMs),
        adoption.stop(),
        watcher.stop(),
        rescuer.stop(),
        scheduler.stop(),
        keeper.stop(),
        inbox.stop(),
        pruner.stop(),
      ]);
      await Promise.all([enqueuer.idle(), publisher.idle(), settler.idle(), checkpointer.idle()]);
      await waker.stop();
      await lease.stop();
    },
  };
}
