/** Plays a history on the store and on the model side by side, and compares after every command. */
import { newId } from "../core/ids.js";
import { decide, type End } from "../core/job.js";
import { DEFAULT_RETENTION, type SystemRetention } from "../core/retention.js";
import { AGAIN } from "../store/batch.js";
import { changeJob } from "../store/change.js";
import { claim } from "../store/claim.js";
import { limitKey } from "../store/concurrency-keys.js";
import { approve, cancel, expirePatience, reject, replay, retry } from "../store/control.js";
import type { Db } from "../store/db.js";
import { type Enqueued, enqueue } from "../store/enqueue.js";
import { violations } from "../store/invariants.js";
import { grantStranded } from "../store/keys.js";
import { prune } from "../store/prune.js";
import { failQueue, pauseQueue, resetQueue, updateQueue } from "../store/queues.js";
import { openRateKeys } from "../store/rate-keys.js";
import { expireOverdue, heldBy, release, renewAccepted, rescueDead } from "../store/rescue.js";
import { settle } from "../store/settle.js";
import { forgetSlots } from "../store/slots.js";
import { newJob, POLICY } from "./fixtures.js";
import * as model from "./queue-model.js";
import { type Ending, finished, type ModelJob, type ModelQueue, TERMS } from "./queue-model.js";
import {
  allow,
  ask,
  BrokenPromise,
  check,
  choseWell,
  compare,
  mayBegin,
  mayLeave,
  noIdleTurns,
  shown,
} from "./queue-model-checks.js";
import type { Command, History, Sent } from "./queue-model-commands.js";
import { type Begun, clearStage, jump, look, newNode, type Stage, setStage, settingsOf } from "./queue-model-stage.js";

/** Plays one history to its end. `db` may be a mutant of `plain`. Throws where the store and the model part. */
export async function play(plain: Db, history: History, db: Db = plain): Promise<void> {
  const stage = await setStage(db, plain, history.queues);
  try {
    for (const [place, command] of history.commands.entries()) {
      await step(stage, command).catch((error) => {
        throw new Error(`command ${place}, ${JSON.stringify(command)}: ${error.message}`, { cause: error });
      });
    }
    await comeToRest(stage);
    const broken = await violations(plain);
    check(broken.length === 0, () => JSON.stringify(broken));
  } finally {
    await clearStage(stage);
  }
}

/** Does one thing to both. */
async function step(stage: Stage, command: Command): Promise<void> {
  const { world } = stage;
  const before = new Map([...world.jobs.values()].map((job) => [job, job.state]));
  const after = await act(stage, command);
  if (after === "nothing") return;
  compare(world, await look(stage));
  if (typeof after === "function") after();
  else if (after === "all turns") noIdleTurns(world, new Set(world.keys.keys()));
  else if (after === "turns") {
    const moved = [...world.jobs.values()].filter((job) => before.get(job) !== job.state);
    noIdleTurns(world, new Set(moved.map((job) => job.key)));
  }
}

/**
 * `nothing` was done; `turns` may have ended and were passed on, those of the jobs that moved or of every key; or what else
 * is to be judged after the comparison.
 */
type After = "nothing" | "done" | "turns" | "all turns" | (() => void);

const nth = <T>(all: readonly T[], n: number): T | undefined => all[n % all.length];

async function act(stage: Stage, command: Command): Promise<After> {
  const { db, world, workspace } = stage;
  const jobs = [...world.jobs.values()];
  switch (command.do) {
    case "enqueue":
      return send(stage, nth(world.queues, command.queue)!, [command.sent], command.replaces);
    case "batch":
      return send(stage, nth(world.queues, command.queue)!, command.sent, false);
    case "claim": {
      const queues = command.queue === "all" ? world.queues : [nth(world.queues, command.queue)!];
      return take(stage, command.node, queues, command.room);
    }
    case "settle": {
      const held = stage.begun.filter((each) => command.late || isHeld(stage, each));
      const delivery = nth(held, command.delivery);
      if (delivery === undefined) return "nothing";
      return end(stage, delivery, command.ending, command.lingers);
    }
    case "cancel":
    case "approve":
    case "reject": {
      const able = jobs.filter((job) => (command.do === "cancel" ? !finished(job) : job.state === "pending_approval"));
      // Now and then one that is in no such state.
      const job = nth(command.job % 8 === 0 || able.length === 0 ? jobs : able, command.job);
      if (job === undefined) return "nothing";
      return decideAbout(stage, job, command.do);
    }
    case "retry":
    case "race": {
      const failed = jobs.filter((job) => job.state === "failed");
      const job = nth(command.job % 8 === 0 || failed.length === 0 ? jobs : failed, command.job);
      if (job === undefined) return "nothing";
      const times = command.do === "race" ? 2 : 1;
      const moved = (await Promise.all(Array.from({ length: times }, () => retry(db, [job.id])))).flat();
      const expected = job.state === "failed" ? [job.id] : [];
      check(
        String(moved) === String(expected),
        () => `a retry of ${job.id}, which is ${job.state}, moved ${moved.length}`,
      );
      if (job.state === "failed") model.retry(world, job);
      return "turns";
    }
    case "replay": {
      const job = nth(jobs.filter(finished), command.job);
      if (job === undefined) return "nothing";
      const id = await replay(db, job.id, {});
      check(id !== undefined, () => `${job.id} was not replayed`);
      model.enqueue(world, job.queue, id!, null, { ...job, delayMs: 0, priority: 0, key: null, strict: false });
      Object.assign(world.jobs.get(id!)!, { rateKey: null, state: "waiting", dueAt: world.now });
      return "done";
    }
    case "heartbeat": {
      const delivery = nth(stage.begun, command.job);
      if (delivery === undefined) return "nothing";
      const alive = await renewAccepted(db, delivery.jobId, delivery.delivery);
      check(
        alive === isHeld(stage, delivery),
        () => `a sign of life of ${delivery.jobId} was ${alive ? "taken" : "refused"}`,
      );
      if (alive) world.jobs.get(delivery.jobId)!.dueAt = world.now + TERMS.asyncTimeoutMs;
      return "done";
    }
    case "patch": {
      const job = nth(
        jobs.filter((each) => each.state === "waiting" || command.job % 8 === 0),
        command.job,
      );
      if (job === undefined) return "nothing";
      const { customer, keyed, ...rest } = command.patch;
      const body = customer === undefined ? {} : { body: bodyOf(customer) };
      const waits = job.state === "waiting" || job.state === "pending_approval";
      const changed = await changeJob(db, job.id, {
        ...rest,
        ...(customer === undefined ? {} : { body: Buffer.from(bodyOf(customer)) }),
        ...(keyed === undefined ? {} : { concurrencyKey: keyed.key, keyOrder: keyed.strict ? "strict" : "started" }),
      });
      check(
        changed === waits,
        () => `a change of ${job.id}, which is ${job.state}, was ${changed ? "made" : "refused"}`,
      );
      if (changed) model.change(world, job, { ...rest, ...body, ...keyed });
      return "done";
    }
    case "expire":
      await expireOverdue(db, () => 0);
      model.expire(world);
      return "turns";
    case "rescue":
      while ((await rescueDead(db)) !== undefined);
      model.rescue(world);
      return "turns";
    case "deadline":
      await expirePatience(db);
      for (const job of jobs)
        if (job.state === "pending_approval" && job.dueAt! <= world.now) model.refuse(world, job, "expired");
      return "done";
    case "keep":
      await openRateKeys(db);
      await forgetSlots(db);
      await grantStranded(db, 0);
      return "all turns";
    case "prune":
      return sweep(stage);
    case "release": {
      const node = nth(world.nodes, command.node)!;
      const held = await heldBy(stage.plain, node.id);
      await release(db, held);
      for (const { jobId } of held) {
        const job = world.jobs.get(jobId)!;
        model.linger(world, job);
        model.release(world, job);
      }
      return "turns";
    }
    case "die": {
      const node = nth(
        world.nodes.filter((each) => each.alive),
        command.node,
      )!;
      node.alive = false;
      await newNode(stage);
      return "nothing";
    }
    case "pause":
    case "open": {
      const queue = nth(world.queues, command.queue)!;
      queue.paused = command.do === "pause";
      await pauseQueue(db, workspace, "callback", queue.name, queue.paused);
      return "nothing";
    }
    case "set": {
      const queue = nth(world.queues, command.queue)!;
      queue.concurrency = command.concurrency;
      if (queue.rate !== null) {
        if (queue.rate.periodMs !== command.rate.periodMs) queue.periodChangedAt = world.now;
        queue.rate = { ...queue.rate, ...command.rate };
      }
      model.closeBreaker(queue);
      await updateQueue(db, workspace, queue.name, settingsOf(queue));
      allow(world);
      return "done";
    }
    case "limit":
      await limitKey(db, workspace, command.key, command.limit);
      world.keys.get(command.key)!.limit = command.limit;
      allow(world);
      return () => noIdleTurns(world, new Set([command.key]));
    case "fail": {
      const queue = nth(world.queues, command.queue)!;
      await failQueue(db, queue.id, command.probe);
      model.fail(world, queue, command.probe);
      return "nothing";
    }
    case "reset": {
      const queue = nth(world.queues, command.queue)!;
      await resetQueue(db, queue.id, null);
      model.closeBreaker(queue);
      return "nothing";
    }
    case "jump":
      await jump(stage, command.ms);
      return "nothing";
  }
}

const bodyOf = (customer: number): string => JSON.stringify({ customer });

const isHeld = ({ world }: Stage, { jobId, delivery }: Begun): boolean => {
  const job = world.jobs.get(jobId);
  return job?.state === "active" && job.delivery === delivery;
};

/** enqueue, one or a batch: an id that is known answers with the first job under it. */
async function send(stage: Stage, queue: ModelQueue, all: readonly Sent[], replaces: boolean): Promise<After> {
  const { db, world } = stage;
  const made = all.map((sent) =>
    newJob(queue.id, {
      key: sent.clientId,
      body: Buffer.from(bodyOf(sent.customer)),
      delayMs: sent.delayMs,
      priority: sent.priority,
      replaces,
      ...(sent.maxAttempts === null ? {} : { maxAttempts: sent.maxAttempts }),
      ...(sent.key === null
        ? {}
        : { concurrencyKey: sent.key, keyOrder: sent.strict ? ("strict" as const) : "started" }),
    }),
  );
  const answers = await db.transact((t) => enqueue(t, made));
  const specs = all.map((sent) => ({ ...sent, body: bodyOf(sent.customer) }));
  for (const [place, answer] of answers.entries()) {
    if (answer.duplicate) continue;
    check(answer.id === made[place]!.id, () => `a new job is ${answer.id}`);
    const { clientId } = all[place]!;
    const known = clientId === null ? undefined : under(stage, queue, clientId);
    check(known === undefined, () => `${answer.id} has the id of ${known!.id}`);
    model.enqueue(world, queue, answer.id, clientId, specs[place]!);
  }
  for (const [place, answer] of answers.entries()) {
    if (answer.duplicate) again(stage, queue, answer, all[place]!.clientId, specs[place]!, replaces);
    check(answer.state === world.jobs.get(answer.id)!.state, () => `${answer.id} was said to be ${answer.state}`);
  }
  return "done";
}

const under = ({ world }: Stage, queue: ModelQueue, clientId: string): ModelJob | undefined =>
  [...world.jobs.values()].find((job) => job.queue === queue && job.clientId === clientId);

function again(
  stage: Stage,
  queue: ModelQueue,
  answer: Enqueued,
  clientId: string | null,
  spec: model.Spec,
  replaces: boolean,
): void {
  const first = clientId === null ? undefined : under(stage, queue, clientId);
  check(first?.id === answer.id, () => `${answer.id} answers for ${first?.id}`);
  const replaced = replaces && (first!.state === "waiting" || first!.state === "pending_approval");
  check(
    answer.replaced === replaced,
    () => `${first!.id}, which is ${first!.state}, was${replaced ? " not" : ""} replaced`,
  );
  check(
    answer.payloadDiffers === (!replaced && first!.body !== spec.body),
    () => `the payload of ${first!.id} is said to differ`,
  );
  if (replaced) model.replace(stage.world, first!, spec);
}

async function take(stage: Stage, n: number, queues: readonly ModelQueue[], room: number): Promise<After> {
  const { db, world, begun } = stage;
  const node = nth(
    world.nodes.filter((each) => each.alive),
    n,
  )!;
  const asked = ask(world, queues, room);
  const { taken } = await claim(
    db,
    node.id,
    queues.map((queue) => queue.id),
    room,
  );
  mayBegin(world, asked, taken);
  const jobs = taken.map(({ jobId }) => world.jobs.get(jobId)!);
  const dueAts = new Map(jobs.map((job) => [job.id, job.dueAt!]));
  for (const job of jobs) {
    model.begin(world, job, node.id);
    begun.push({ jobId: job.id, delivery: job.delivery, attempt: job.attempt });
    if (job.queue.breaker && job.queue.trips > 0) job.queue.openAt = world.now + model.openFor(job.queue.trips);
  }
  return () => choseWell(world, asked, jobs, dueAts);
}

const ENDS: Readonly<Record<Ending, End>> = {
  done: { kind: "done", output: null },
  retry: { kind: "failed", final: false, error: { name: "Error", message: "not now" } },
  final: { kind: "failed", final: true, error: { name: "Error", message: "no" } },
  accepted: { kind: "accepted" },
  released: { kind: "released" },
};

/** settle; by whoever holds the delivery, or held it once. */
async function end(stage: Stage, delivery: Begun, ending: Ending, lingers: boolean): Promise<After> {
  await endAll(stage, [delivery], ending, lingers);
  return "turns";
}

async function endAll(
  { db, world }: Stage,
  deliveries: readonly Begun[],
  ending: Ending,
  mayLinger: boolean,
): Promise<void> {
  const items = deliveries.map((delivery) => settlementOf(world.jobs.get(delivery.jobId), delivery, ending, mayLinger));
  const answers = await settle(db, items);
  for (const [place, { jobId, delivery, outcome, lingers }] of items.entries()) {
    const answer = answers[place];
    if (answer === AGAIN || answer === undefined) throw new BrokenPromise("a row that nobody holds is in other hands");
    const job = world.jobs.get(jobId);
    const held = job?.state === "active" && job.delivery === delivery;
    // A repetition of what was written already counts as done, and writes nothing.
    const before = job && model.logOf(world, jobId, delivery)?.outcome;
    const repeated =
      before !== undefined && (before === outcome.outcome || (before === "retry" && outcome.outcome === "failed"));
    check(
      (answer.kind === "settled") === (held || repeated),
      () => `delivery ${delivery} of ${jobId} was ${answer.kind} (${ending})`,
    );
    if (held) model.settle(world, job, ending, lingers);
  }
}

function settlementOf(
  job: ModelJob | undefined,
  { jobId, delivery, attempt }: Begun,
  ending: Ending,
  mayLinger: boolean,
) {
  const backoff = { ...POLICY.backoff, minMs: TERMS.backoffMs, maxMs: TERMS.backoffMs };
  const policy = { maxAttempts: job?.maxAttempts ?? TERMS.maxAttempts, backoff };
  const outcome = decide({ kind: "callback", attempt, asyncTimeoutMs: TERMS.asyncTimeoutMs }, ENDS[ending], policy, 0)!;
  const lingers = mayLinger && (ending === "retry" || ending === "final");
  return { jobId, delivery, attempt, outcome, policy, parentId: null, status: 200, durationMs: 1, random: 0, lingers };
}

async function decideAbout({ db, world }: Stage, job: ModelJob, what: "cancel" | "approve" | "reject"): Promise<After> {
  const pending = job.state === "pending_approval";
  const able = what === "cancel" ? !finished(job) : pending;
  const moved = await (what === "cancel"
    ? cancel(db, [job.id])
    : what === "approve"
      ? approve(db, [job.id])
      : reject(db, [job.id], null));
  check(moved.length > 0 === able, () => `${what} of ${job.id}, which is ${job.state}, moved ${moved.length}`);
  if (!able) return "done";
  if (what === "cancel") model.cancel(world, job);
  else if (what === "approve") model.approve(world, job);
  else model.refuse(world, job, "rejected");
  return "turns";
}

const KEPT: SystemRetention = {
  ...DEFAULT_RETENTION,
  completedMs: TERMS.keptMs,
  failedMs: TERMS.keptMs,
  cancelledMs: TERMS.keptMs,
};

/** prune: only what may leave has left. */
async function sweep(stage: Stage): Promise<After> {
  const { db, plain, world } = stage;
  // In two rounds: the first makes the sweeps of queues that are new.
  for (const _ of [1, 2]) {
    await plain.script("update rotor.sweeps set next_at = '-infinity' where what in ('jobs', 'rest')");
    while ((await prune(db, KEPT)) !== undefined);
  }
  const left = new Set((await look(stage)).map((row) => row.id));
  for (const job of world.jobs.values()) {
    if (left.has(job.id)) continue;
    check(mayLeave(world, job), () => `${job.id}, ${job.state} since ${world.now - job.finishedAt} ms, was pruned`);
    world.jobs.delete(job.id);
  }
  return "done";
}

/** More rounds than any backlog of one history needs. */
const ROUNDS = 120;

/** With every queue open, time passing and no failures, everything comes to an end. */
async function comeToRest(stage: Stage): Promise<void> {
  const { world } = stage;
  const here = (): ModelJob[] => [...world.jobs.values()].filter((job) => !finished(job));
  for (const queue of world.queues.keys()) await act(stage, { do: "open", queue });
  for (const queue of world.queues.keys()) await act(stage, { do: "reset", queue });
  await jump(stage, TERMS.asyncTimeoutMs);
  await step(stage, { do: "expire" });
  await step(stage, { do: "rescue" });
  for (let round = 0; here().length > 0; round++) {
    check(round < ROUNDS, () => `these jobs never end: ${shown(here())}`);
    for (const job of here()) if (job.state === "pending_approval") await decideAbout(stage, job, "approve");
    await step(stage, { do: "keep" });
    await step(stage, { do: "claim", node: round, queue: "all", room: 50 });
    const held = stage.begun.filter((each) => isHeld(stage, each));
    if (held.length > 0) await endAll(stage, held, "done", false);
    else await jump(stage, round % 2 === 0 ? 4_000 : 30_000);
  }
  compare(world, await look(stage));
}
