/**
 * Claims due jobs, has them carried, settles how that ended. One tick: one look where it is needed, one claim. What is in hand is
 * in memory too, and compared to the database every few seconds, since the reply to a claim may be lost.
 */
import { decide } from "../core/job.js";
import { limits } from "../core/limits.js";
import { inTurn } from "../core/turns.js";
import { Stop } from "../delivery/stop.js";
import type { AGAIN, BatchWriter } from "../store/batch.js";
import { claim, type Due, lookForDue, type Taken } from "../store/claim.js";
import { type Begun, claimPlain } from "../store/claim-plain.js";
import type { Db } from "../store/db.js";
import { NO_FLOORS } from "../store/floors.js";
import { type History, loadHistories, NO_HISTORY } from "../store/history.js";
import { type LoadedJob, loadJobs } from "../store/load.js";
import { isBadData } from "../store/outage.js";
import { resetQueue } from "../store/queues.js";
import type { Settled, Settlement } from "../store/settle.js";
import { createAgenda } from "./agenda.js";
import { type Along, createAlong } from "./along.js";
import { keepBreaker } from "./breaker.js";
import { type Carried, RELEASED, unstorable } from "./courier.js";
import { createFooting, type Slow } from "./footing.js";
import { createHoldings } from "./holdings.js";
import type { Lease } from "./lease.js";
import { createLoop, type Loop } from "./loop.js";

export type DispatcherOptions = {
  readonly db: Db;
  readonly lease: Lease;
  readonly settler: BatchWriter<Settlement, Exclude<Settled, typeof AGAIN>>;
  readonly carry: (job: LoadedJob, history: History, stop: Stop) => Promise<Carried>;
  /** Jobs were found that wait for a key now. */
  readonly onBlocked: () => void;
  /** Nothing is claimed while this says so: a database of another environment. */
  readonly held: () => boolean;
  readonly onSettled: (job: LoadedJob, settled: Settled, carried: Carried) => void;
  readonly onError: (error: unknown) => void;
  readonly random?: () => number;
  /** When looks begin at floors. Default: by the limits. */
  readonly slow?: Slow;
};

export type Dispatcher = {
  readonly loop: Loop;
  /** Something may be due: of this queue, where that is known. */
  wake(queueId?: number): void;
  /** For what makes jobs due in queues whose jobs this node could claim at once. */
  readonly along: Along["write"];
  /** The job in hand, if this node delivers it now. */
  inHand(jobId: string): LoadedJob | undefined;
  /** How many steps the run had when this delivery of it began here. */
  stepsInHand(jobId: string, delivery: number): number | undefined;
  /** The app of this run has said something: where it was thought to be away, it is back. */
  heard(jobId: string): void;
  /** Ends every delivery: they belong to others. */
  abandon(): void;
  /** Claims no more, and waits for what is in hand, at most this long; the rest is given back. */
  drain(ms: number): Promise<void>;
};

type InHand = { readonly job: LoadedJob; readonly history: History; readonly stop: Stop };

/** With so many in hand or fewer, an end is worth asking whether anything follows it; with more, something does. */
const ALONE = 4;

/** How often a settlement is tried again while the database does not answer. */
const SETTLE_RETRY_MS = 250;

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { db, lease, settler } = options;
  const random = options.random ?? Math.random;
  const inHand = new Map<string, InHand>();
  let draining = false;
  /** Draining has taken long enough. */
  let overdue = false;
  let emptied: (() => void) | undefined;
  let claimedAt = Number.NEGATIVE_INFINITY;
  /** How long the last claim took, its look and its load among it. */
  let claimMs = 0;
  /** When queues and workspaces were last visited, counted in claims; and where the last look ended. */
  const visits = { queues: new Map<number, number>(), workspaces: new Map<string, number>() };
  let ticks = 0;
  let lookedAt = 0;
  const agenda = createAgenda();
  const footing = createFooting(db, options.slow);
  /** Since the last look, something is left for want of room on this node: whatever ends makes some. */
  let cut = false;
  /** Jobs that a tick is claiming. */
  let claiming = 0;

  /** Without the queues whose workspace holds its share of this node already: some room is left for the others. */
  const withinShares = (ready: readonly Due[]): Due[] => {
    // A map that grew with queues long gone would be the only thing here that does.
    if (visits.queues.size > 10 * limits.queuesPerLook) visits.queues.clear();
    const held = new Map<string, number>();
    for (const { job } of inHand.values()) held.set(job.queue.workspace, (held.get(job.queue.workspace) ?? 0) + 1);
    return ready.filter((queue) => (held.get(queue.workspace) ?? 0) < limits.inFlightPerWorkspace);
  };

  const tick = async (): Promise<number> => {
    if (draining || options.held()) return limits.pollMs;
    if (!lease.fresh()) return 100;
    await holdings.compare();
    const room = limits.inFlight - inHand.size - along.asked;
    if (room <= 0) {
      cut = true;
      return limits.pollMs;
    }
    // Slots are freed one by one, and each claim is a commit: while there is work in hand, they are taken together, and
    // claims rest for half as long as they take.
    const gapMs = Math.min(Math.max(limits.claimGapMs, claimMs / 2), limits.claimGapMaxMs);
    const restMs = gapMs - (performance.now() - claimedAt);
    if (inHand.size > 0 && restMs > 0) return Math.ceil(restMs);
    const begunAt = performance.now();
    claimedAt = begunAt;
    await footing.renew();
    const nodeId = lease.nodeId();
    const known = agenda.take(begunAt);
    if (known !== undefined && withinShares(known).length === known.length) {
      const share = Math.max(1, Math.min(limits.claim, Math.ceil(room / known.length)));
      const begun = await beginPlain(known, share, room, nodeId).catch(lost);
      claimMs = performance.now() - begunAt;
      // As many as were asked for: there may be more.
      if (begun.length >= share) agenda.unsure();
      const had = new Set(begun.map((job) => job.queue.id));
      for (const { queueId } of known) if (!had.has(queueId)) agenda.wrong(queueId);
      return agenda.restMs(performance.now());
    }
    const due = await lookForDue(db, lookedAt, footing.floors);
    await footing.looked(begunAt);
    const ready = due.filter((queue) => queue.dueInMs <= 0);
    // Of more queues than one look tells, it goes on with the others next time.
    lookedAt = ready.length < limits.queuesPerLook ? 0 : ready.at(-1)!.queueId;
    const nextMs = due.find((queue) => queue.dueInMs > 0)?.dueInMs ?? limits.pollMs;
    const pauseMs = Math.min(Math.ceil(nextMs), limits.pollMs);
    agenda.looked(due, performance.now() + pauseMs);
    const free = withinShares(ready);
    const visited = inTurn(free, visits, room);
    cut = free.length < ready.length || visited.length < free.length;
    if (visited.length === 0) return pauseMs;
    ticks++;
    for (const { queueId, workspace } of visited) {
      visits.queues.set(queueId, ticks);
      visits.workspaces.set(workspace, ticks);
    }
    try {
      const plain = visited.filter((queue) => queue.plain);
      const others = visited.filter((queue) => !queue.plain);
      const share = Math.max(1, Math.min(limits.claim, Math.ceil(room / visited.length)));
      let count = plain.length === 0 ? 0 : (await beginPlain(plain, share, room, nodeId)).length;
      let blocked = 0;
      if (others.length > 0 && count < room) {
        const claimed = await claim(
          db,
          nodeId,
          others.map((queue) => queue.queueId),
          room - count,
        );
        ({ blocked } = claimed);
        if (blocked > 0) options.onBlocked();
        count += claimed.taken.length;
        await begin(claimed.taken, nodeId);
      }
      if (count === 0 && blocked === 0) return pauseMs;
      if (count > 0) claimMs = performance.now() - begunAt;
      // There may be more.
      agenda.unsure();
      return 0;
    } catch (error) {
      return lost(error);
    }
  };

  /** The claim may have committed: what it took is found and given back. */
  const lost = (error: unknown): never => {
    holdings.unsure();
    agenda.unsure();
    throw error;
  };

  /** Claims and sets off at once. Answers what. */
  const beginPlain = async (
    plain: readonly Due[],
    share: number,
    room: number,
    nodeId: string,
  ): Promise<readonly LoadedJob[]> => {
    claiming = Math.min(room, share * plain.length);
    try {
      const begun = await claimPlain(db, {
        nodeId,
        queueIds: plain.map((queue) => queue.queueId),
        shares: plain.map(() => share),
        room,
        functions: plain.some((queue) => queue.kind === "function"),
        bytes: roomForHistories(),
        floors: footing.floors,
      });
      footing.raise(begun.activeFrom);
      await setOff(begun, nodeId);
      return begun.jobs;
    } finally {
      claiming = 0;
    }
  };

  const setOff = async ({ jobs, histories }: Begun, nodeId: string): Promise<void> => {
    const runs = jobs.filter((job) => job.queue.kind === "function").map((job) => job.jobId);
    const read = histories ?? (await loadHistories(db, runs, roomForHistories()));
    for (const job of jobs) void handle(job, read.get(job.jobId) ?? NO_HISTORY, nodeId);
  };

  const along = createAlong({
    known: agenda.known,
    // Half of the node: with more in hand, a look says whose turn it is. And from floors a tick claims, which knows them.
    free: () =>
      draining || options.held() || !lease.fresh() || footing.floors !== NO_FLOORS
        ? 0
        : Math.min(limits.inFlight / 2, limits.inFlight - claiming) - inHand.size,
    nodeId: lease.nodeId,
    bytes: () => roomForHistories(),
    begin: setOff,
    lost: () => {
      holdings.unsure();
      wake();
    },
  });

  const holdings = createHoldings({
    db,
    nodeId: lease.nodeId,
    isKnown: (jobId) => inHand.has(jobId),
    others: along,
    onGivenBack: () => wake(),
    onError: options.onError,
  });

  /** Reads what was claimed and sets it off. */
  const begin = async (taken: readonly Taken[], nodeId: string): Promise<void> => {
    if (taken.length === 0) return;
    const runs = taken.filter((job) => job.kind === "function").map((job) => job.jobId);
    const [jobs, histories] = await Promise.all([loadJobs(db, taken), loadHistories(db, runs, roomForHistories())]);
    for (const job of jobs) void handle(job, histories.get(job.jobId) ?? NO_HISTORY, nodeId);
  };

  /** Bytes of results that this node may take in hand beside those that it has. */
  const roomForHistories = (): number => {
    let bytes = 0;
    for (const { history } of inHand.values()) bytes += history.bytes;
    return limits.historiesBytes - bytes;
  };

  const handle = async (first: LoadedJob, firstHistory: History, nodeId: string): Promise<void> => {
    const stop = new Stop(() => !lease.fresh() || lease.nodeId() !== nodeId);
    let job = first;
    let history = firstHistory;
    /** It left nothing behind that this node could go on with. */
    let quiet = false;
    try {
      for (;;) {
        // A node that was paused wakes here: its jobs may be others' by now.
        if (!lease.fresh() || lease.nodeId() !== nodeId) {
          holdings.unsure();
          return;
        }
        inHand.set(job.jobId, { job, history, stop });
        const carried = await options.carry(job, history, stop);
        const { told } = agenda;
        const settled = await settle(job, carried, nodeId);
        if (settled === undefined) return;
        // What came meanwhile may have found no room, as this was not settled yet.
        quiet = settled.kind === "settled" && !settled.due && !cut && agenda.told === told;
        options.onSettled(job, settled, carried);
        if (settled.kind !== "settled" || settled.next === null) return;
        // Progress, and something to do at once: the next delivery without a claim.
        job = { ...job, delivery: settled.next, attempt: 1, queuedMs: 0 };
        if (draining) {
          // We are on our way out: another node goes on with it.
          await settle(job, RELEASED, nodeId);
          return;
        }
        inHand.set(job.jobId, { job, history: NO_HISTORY, stop });
        history = (await loadHistories(db, [job.jobId], roomForHistories())).get(job.jobId) ?? NO_HISTORY;
      }
    } catch (error) {
      // Still active by the database; the holdings, once compared, give it back.
      options.onError(error);
    } finally {
      if (inHand.get(job.jobId)?.stop === stop) inHand.delete(job.jobId);
      if (inHand.size === 0) emptied?.();
      if (!quiet) wake();
    }
  };

  /** Writes how it ended, until the database has said so or the job is not ours any more. */
  const settle = async (
    job: LoadedJob,
    carried: Carried,
    nodeId: string,
    replaced = false,
  ): Promise<Settled | undefined> => {
    const policy = { maxAttempts: job.maxAttempts, backoff: job.queue.backoff };
    const end = await keepBreaker(db, job, carried, options.onError);
    const outcome = decide(
      { kind: job.queue.kind, attempt: job.attempt, asyncTimeoutMs: job.queue.asyncTimeoutMs },
      end,
      policy,
      random(),
    );
    if (outcome === undefined) return undefined;
    const { jobId, delivery, attempt, parentId, shared } = job;
    const settlement: Settlement = {
      jobId,
      delivery,
      attempt,
      kind: job.queue.kind,
      parentId,
      shared,
      outcome,
      policy,
      status: carried.status,
      durationMs: carried.durationMs,
      detail: carried.detail ?? null,
      lingers: job.queue.strict && carried.unanswered === true,
      asks: inHand.size <= ALONE && footing.floors === NO_FLOORS,
      random: random(),
    };
    for (;;) {
      try {
        return await settler.write(settlement);
      } catch (error) {
        options.onError(error);
        if (lease.nodeId() !== nodeId) return undefined;
        // Tried again it would fail again, for ever, and hold the job's place: what its endpoint said is not to be had.
        if (isBadData(error) && !replaced)
          return settle(job, { ...carried, detail: null, end: unstorable(error) }, nodeId, true);
        // Asked to stop while the database is away: the lease has run out, and others take over what we held.
        if (overdue && !lease.fresh()) return undefined;
        await new Promise((resolve) => setTimeout(resolve, SETTLE_RETRY_MS));
      }
    }
  };

  const loop = createLoop({ tick, onError: options.onError, retryMs: 200 });

  const wake = (queueId?: number): void => {
    if (queueId === undefined) agenda.unsure();
    else agenda.due(queueId);
    loop.wake();
  };

  return {
    loop,
    wake,
    along: along.write,
    inHand: (jobId) => inHand.get(jobId)?.job,
    stepsInHand(jobId, delivery) {
      const held = inHand.get(jobId);
      return held?.job.delivery === delivery ? held.history.count : undefined;
    },
    heard(jobId) {
      const held = inHand.get(jobId);
      if (held === undefined || held.job.queue.trips === 0) return;
      const { queue } = held.job;
      // Once: what is said after this finds no trips.
      inHand.set(jobId, { ...held, job: { ...held.job, queue: { ...queue, trips: 0 } } });
      resetQueue(db, queue.id, queue.appId).then(() => wake(), options.onError);
    },
    abandon() {
      for (const { stop } of inHand.values()) stop.ask();
    },
    async drain(ms) {
      draining = true;
      await Promise.all([along.ended(), loop.stop()]);
      await holdings.idle();
      if (inHand.size === 0) return;
      const empty = new Promise<void>((resolve) => {
        emptied = resolve;
      });
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        empty,
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, ms);
        }),
      ]);
      clearTimeout(timer);
      if (inHand.size === 0) return;
      overdue = true;
      for (const { stop } of inHand.values()) stop.ask();
      await empty;
    },
  };
}
