/** Plays a history on the store and on the model side by side, and compares after every command. */
import { DEFAULT_RETENTION, type SystemRetention } from "../core/retention.js";
import { limitKey } from "../store/concurrency-keys.js";
import { expirePatience } from "../store/control.js";
import type { Db } from "../store/db.js";
import { updateFunctionLimits } from "../store/function-keys.js";
import { violations } from "../store/invariants.js";
import { grantStranded } from "../store/keys.js";
import { prune } from "../store/prune.js";
import { failQueue, pauseQueue, resetQueue, updateQueue } from "../store/queues.js";
import { openRateKeys } from "../store/rate-keys.js";
import { expireOverdue, heldBy, release, rescueDead } from "../store/rescue.js";
import { forgetSlots } from "../store/slots.js";
import * as model from "./queue-model.js";
import { finished, type ModelJob, TERMS } from "./queue-model.js";
import { allow, check, compare, mayLeave, noIdleTurns, shown } from "./queue-model-checks.js";
import type { Command, History } from "./queue-model-commands.js";
import {
  type After,
  beat,
  decideAbout,
  end,
  endAll,
  isHeld,
  nth,
  patch,
  replayOne,
  retryOne,
  send,
  take,
} from "./queue-model-deeds.js";
import {
  clearStage,
  jump,
  look,
  newNode,
  ownLimits,
  type Stage,
  setStage,
  settingsOf,
  writeFunction,
} from "./queue-model-stage.js";

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
  else if (after === "all turns") noIdleTurns(world, world.keys.keys());
  else if (after === "turns") {
    const moved = [...world.jobs.values()].filter((job) => before.get(job) !== job.state);
    noIdleTurns(
      world,
      moved.flatMap((job) => [job.key, job.second]),
    );
  }
}

/** Those to whom it can be done; now and then, all. */
const able = (jobs: readonly ModelJob[], pick: number, may: (job: ModelJob) => boolean): readonly ModelJob[] => {
  const some = jobs.filter(may);
  return pick % 8 === 0 || some.length === 0 ? jobs : some;
};

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
      const may = (job: ModelJob) => (command.do === "cancel" ? !finished(job) : job.state === "pending_approval");
      const job = nth(able(jobs, command.job, may), command.job);
      return job === undefined ? "nothing" : decideAbout(stage, job, command.do);
    }
    case "retry":
    case "race": {
      const job = nth(
        able(jobs, command.job, (each) => each.state === "failed"),
        command.job,
      );
      return job === undefined ? "nothing" : retryOne(stage, job, command.do === "race" ? 2 : 1);
    }
    case "replay": {
      const job = nth(jobs.filter(finished), command.job);
      return job === undefined ? "nothing" : replayOne(stage, job);
    }
    case "heartbeat": {
      const delivery = nth(stage.begun, command.job);
      return delivery === undefined ? "nothing" : beat(stage, delivery);
    }
    case "patch": {
      const job = nth(
        able(jobs, command.job, (each) => each.state === "waiting"),
        command.job,
      );
      return job === undefined ? "nothing" : patch(stage, job, command.patch);
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
      await pauseQueue(db, workspace, queue.isFunction ? "function" : "callback", queue.name, queue.paused);
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
      if (queue.isFunction) await writeFunction(stage, queue);
      else await updateQueue(db, workspace, queue.name, settingsOf(queue));
      allow(world);
      return "done";
    }
    case "limit":
      await limitKey(db, workspace, command.key, command.limit);
      world.keys.get(command.key)!.limit = command.limit;
      allow(world);
      return () => noIdleTurns(world, [command.key]);
    case "limits": {
      const queue = nth(world.queues, command.queue)!;
      if (!queue.isFunction) return "nothing";
      await db.transact((t) => updateFunctionLimits(t, queue.id, command.limits));
      queue.limits = command.limits;
      for (const [name, limit] of ownLimits(queue)) world.keys.get(name)!.limit = limit;
      allow(world);
      return "done";
    }
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
