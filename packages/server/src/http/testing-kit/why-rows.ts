/** Why does it not move? A row a reason: how a job comes to it, what it is told then, and what helps. No test of its own. Long, since it has one row for each way in which a job may stand still. */
import { decide } from "../../core/job.js";
import { ONE_FOR_ALL } from "../../core/rate-key.js";
import { applyFunctionRates } from "../../store/function-keys.js";
import { failQueue, getQueue, tripQueue } from "../../store/queues.js";
import { openRateKeys } from "../../store/rate-keys.js";
import {
  claimOne,
  enqueueAll,
  failedWith,
  functionQueue,
  newRun,
  notYet,
  settleOne,
  waitFor,
  waitForAny,
} from "../../testing-kit/fixtures.js";
import { CALLBACK } from "./client.js";
import type { Told, WhyKit } from "./why-kit.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A job after the first of three attempts; the next follows in ten minutes. */
async function failedOnce({ db, jobOf, queueIdOf }: WhyKit, error: { name: string; message: string }) {
  const { name, id } = await jobOf({ retry: { backoff: "fixed", min: "10m", jitter: "none", maxAttempts: 3 } });
  const holder = await claimOne(db, await queueIdOf(name), id);
  const backoff = { kind: "fixed", factor: 1, minMs: 10 * MINUTE, maxMs: HOUR, jitter: "none", listMs: [] } as const;
  const policy = { maxAttempts: 3, backoff };
  const end = { kind: "failed", final: false, error } as const;
  const outcome = decide({ kind: "callback", attempt: 1, asyncTimeoutMs: 1 }, end, policy, 0)!;
  await settleOne(db, holder, end, { policy, outcome, status: 503 });
  return { name, id };
}

/** A run whose function has two keys, of one of which another run has the same value. */
async function blockedRun({ db, rotor, claimed, newName }: WhyKit, values: string[], taken: string): Promise<Told> {
  const name = newName();
  const queueId = await functionQueue(db, name);
  const of = (each: readonly string[]) => newRun(queueId, {}, { functionKeys: each.map((key) => ({ key, limit: 1 })) });
  const holder = of(values.map((value) => (value === taken ? value : "other")));
  const run = of(values);
  await enqueueAll(db, [holder]);
  await claimed("function", name);
  await enqueueAll(db, [run]);
  return {
    id: run.id,
    reason: "key_blocked",
    untilMs: null,
    sentence: new RegExp(
      `^Of its concurrency key ${taken} one run may be active at a time, and ${holder.id} of ${name} has it\\.$`,
    ),
    unblock: [`rotor runs cancel ${holder.id}`],
    blockedBy: [holder.id],
    help: () => rotor.runs.cancel(holder.id),
  };
}

/** What is arranged, and what is told of it. */
export const whyRows: Readonly<Record<string, (kit: WhyKit) => Promise<Told>>> = {
  async delayed({ rotor, jobOf }) {
    const { name, id } = await jobOf({}, { delay: "1h" });
    return {
      id,
      reason: "delayed",
      untilMs: HOUR,
      sentence: /^It is to start in (1h|3600s|\d+s|60m) \(20.*Z\)\.$/,
      unblock: [`rotor jobs update ${name} ${id} --delay 0s`],
      help: () => rotor.jobs.update(name, id, { delay: "0s" }),
    };
  },
  async "queued: the queue is full"({ rotor, claimed, jobOf }) {
    const { name, id: holder } = await jobOf({ concurrency: 1 });
    await claimed("callback", name);
    const { id } = await rotor.jobs.enqueue(name);
    return {
      id,
      reason: "queued",
      untilMs: null,
      sentence: new RegExp(`^All 1 slots of ${name} are taken; 0 are due before it\\.$`),
      unblock: [`rotor queues update ${name} --concurrency <n>`],
      blockedBy: [holder],
      help: () => rotor.queues.update(name, { concurrency: 2 }),
    };
  },
  async "queued: no node"({ db, jobOf }) {
    await db.script("delete from rotor.nodes");
    const { id } = await jobOf();
    return { id, reason: "queued", untilMs: null, sentence: /^No server is running/, unblock: ["rotor start"] };
  },
  async "queued: it is next"({ rotor, jobOf }) {
    const { name } = await jobOf();
    const { id } = await rotor.jobs.enqueue(name);
    return {
      id,
      reason: "queued",
      untilMs: null,
      sentence: /next job to be claimed from .*: 1 is due before it\.$/,
      unblock: [],
    };
  },
  async retrying(kit) {
    const { name, id } = await failedOnce(kit, { name: "Error", message: "503 Service Unavailable" });
    return {
      id,
      reason: "retrying",
      untilMs: 10 * MINUTE,
      sentence: /^Attempt 2 of 3 follows in .*: 503 Service Unavailable\.$/,
      unblock: [`rotor jobs update ${name} ${id} --delay 0s`],
      help: () => kit.rotor.jobs.update(name, id, { delay: "0s" }),
    };
  },
  async "retrying: a secret that is gone"(kit) {
    const message = "The queue q uses the secret TOKEN, which there is not. Set it with `rotor secrets set TOKEN`.";
    const { name, id } = await failedOnce(kit, { name: "UnknownSecretError", message });
    return {
      id,
      reason: "retrying",
      untilMs: 10 * MINUTE,
      sentence: /^Attempt 2 of 3 follows in .*uses the secret TOKEN/,
      unblock: ["rotor secrets set TOKEN", `rotor jobs update ${name} ${id} --delay 0s`],
    };
  },
  async "retrying: a step"({ db, runOf }) {
    const { id, holder } = await runOf();
    const error = { name: "Error", message: "no" };
    const report = {
      kind: "run",
      key: "charge",
      attempt: 1,
      duration_ms: 1,
      outcome: "retry",
      error,
      delay_ms: HOUR,
    } as const;
    await settleOne(db, holder, notYet([report]));
    return {
      id,
      reason: "retrying",
      untilMs: HOUR,
      sentence: /^Its step charge failed and is tried again in/,
      unblock: [],
    };
  },
  async sleeping({ db, runOf }) {
    const { id, holder } = await runOf();
    await settleOne(db, holder, notYet([{ kind: "sleep", key: "nap", delay_ms: HOUR }]));
    return { id, reason: "sleeping", untilMs: HOUR, sentence: /^It sleeps in nap, and wakes in/, unblock: [] };
  },
  async event({ rotor, db, runOf }) {
    const { id, holder } = await runOf();
    await settleOne(
      db,
      holder,
      notYet([waitFor("w", "email.opened", { match: { contactId: "c1" }, timeout_ms: HOUR })]),
    );
    return {
      id,
      reason: "event",
      untilMs: HOUR,
      sentence: /^It waits in w for the event email\.opened where \{"contactId":"c1"\}; without it, it goes on in/,
      unblock: ["rotor send email.opened '{…}'"],
      help: () => rotor.send({ name: "email.opened", data: { contactId: "c1" } }),
    };
  },
  async "event, or another"({ rotor, db, runOf }) {
    const { id, holder } = await runOf();
    const parts = [
      { name: "opened", event: "email.opened", match: { contactId: "c1" } },
      { name: "stopped", signal: `${id}/the stop` },
    ];
    await settleOne(db, holder, notYet([waitForAny("w", parts, { timeout_ms: HOUR })]));
    return {
      id,
      reason: "event",
      untilMs: HOUR,
      sentence:
        /^It waits in w for the first of opened \(the event email\.opened where \{"contactId":"c1"\}\), stopped \(the signal .*\/the stop\); without it, it goes on in/,
      unblock: ["rotor send email.opened '{…}'", `rotor signals complete '${id}/the stop'`],
      help: () => rotor.send({ name: "email.opened", data: { contactId: "c1" } }),
    };
  },
  async signal({ rotor, db, runOf }) {
    const { id, holder } = await runOf();
    await settleOne(db, holder, notYet([{ kind: "signal", key: "ok", signal: `${id}/the ok`, timeout_ms: HOUR }]));
    return {
      id,
      reason: "signal",
      untilMs: HOUR,
      sentence: /^It waits in ok for the signal .*\/the ok; without it, the step fails in/,
      unblock: [`rotor signals complete '${id}/the ok'`],
      help: () => rotor.signals.complete(`${id}/the ok`),
    };
  },
  async child({ rotor, db, newName, runOf }) {
    const { id, holder } = await runOf();
    const child = newName();
    await functionQueue(db, child);
    const report = { kind: "invoke", key: "c", function: child, data: {}, timeout_ms: HOUR } as const;
    await settleOne(db, holder, notYet([report]));
    const [{ id: childId } = { id: "" }] = (await rotor.runs.list({ function: child }).page()).data;
    return {
      id,
      reason: "child",
      untilMs: HOUR,
      sentence: new RegExp(`^It waits in c for ${childId} to end; its patience ends in`),
      unblock: [`rotor why ${childId}`],
    };
  },
  async "rate_limited: the queue's"({ rotor, claimed, jobOf }) {
    const { name } = await jobOf({ rateLimit: { limit: 1, period: "1h" } });
    await claimed("callback", name);
    const { id } = await rotor.jobs.enqueue(name);
    return {
      id,
      reason: "rate_limited",
      untilMs: HOUR,
      sentence: new RegExp(`^The rate limit of ${name}, 1 in 1h, is used up; it goes on in`),
      unblock: [`rotor queues update ${name} --rate-limit <limit>/<period>`],
      help: () => rotor.queues.update(name, { rateLimit: { limit: 10, period: "1h" } }),
    };
  },
  async "rate_limited: a value of its key"({ rotor, db, claimed, jobOf }) {
    const { name } = await jobOf({ rateLimit: { limit: 1, period: "1h", key: "payload.customer" } });
    await claimed("callback", name);
    const { id } = await rotor.jobs.enqueue(name, { payload: { customer: "acme" } });
    return {
      id,
      reason: "rate_limited",
      untilMs: HOUR,
      sentence: /1 in 1h for each payload\.customer, here "acme", is used up; it goes on in/,
      unblock: [`rotor queues update ${name} --rate-limit <limit>/<period> --rate-key payload.customer`],
      async help() {
        await rotor.queues.update(name, { rateLimit: { limit: 10, period: "1h", key: "payload.customer" } });
        // As the keeper does within a second.
        await openRateKeys(db);
      },
    };
  },
  async key_blocked({ rotor, claimed, newName, jobOf }) {
    const key = `${newName()} & more`;
    const { name: other, id: holder } = await jobOf({}, { concurrencyKey: key });
    await claimed("callback", other);
    const { id } = await jobOf({}, { concurrencyKey: key });
    return {
      id,
      reason: "key_blocked",
      untilMs: null,
      sentence: new RegExp(`one job may be active at a time, and ${holder} of ${other} has it\\.$`),
      unblock: [`rotor concurrency-keys set --limit <n> '${key}'`, `rotor jobs cancel ${other} ${holder}`],
      blockedBy: [holder],
      help: () => rotor.concurrencyKeys.set(key, { limit: 2 }),
    };
  },
  async "key_blocked: a run, by its function's first key"(kit) {
    return blockedRun(kit, ["acme", "free"], "acme");
  },
  async "key_blocked: a run, by its function's second key"(kit) {
    return blockedRun(kit, ["free", "acme"], "acme");
  },
  async "rate_limited: runs that begin"({ rotor, db, claimed, newName }) {
    const name = newName();
    const queueId = await functionQueue(db, name);
    const set = async (limit: number): Promise<void> => {
      await db.script(
        `update rotor.queues set rate_limit = ${limit}, rate_period_ms = 3600000, rate_key = '${ONE_FOR_ALL}' where id = ${queueId}`,
      );
      await db.transact((t) => applyFunctionRates(t, [queueId]));
    };
    await set(1);
    await rotor.runs.start(name, {});
    await claimed("function", name);
    const { runId } = await rotor.runs.start(name, {});
    return {
      id: runId,
      reason: "rate_limited",
      untilMs: HOUR,
      sentence: new RegExp(`^The rate limit of ${name}, 1 in 1h, is used up; it begins in`),
      unblock: [],
      async help() {
        await set(2);
        await openRateKeys(db);
      },
    };
  },
  async paused({ rotor, jobOf }) {
    const { name, id } = await jobOf();
    await rotor.queues.pause(name);
    return {
      id,
      reason: "paused",
      untilMs: null,
      sentence: new RegExp(`^The queue ${name} is paused since 20`),
      unblock: [`rotor queues resume ${name}`],
      help: () => rotor.queues.resume(name),
    };
  },
  async "paused: a function"({ rotor, db, newName }) {
    const name = newName();
    await functionQueue(db, name);
    await rotor.functions.pause(name);
    const { runId } = await rotor.runs.start(name, {});
    return {
      id: runId,
      reason: "paused",
      untilMs: null,
      sentence: new RegExp(`^The function ${name} is paused since 20`),
      unblock: [`rotor functions resume ${name}`],
      help: () => rotor.functions.resume(name),
    };
  },
  async breaker({ rotor, db, jobOf, queueIdOf }) {
    const { name, id } = await jobOf({ breaker: { failures: 2, min: "5m", max: "1h" } });
    for (let failures = 0; failures < 2; failures++) await failQueue(db, await queueIdOf(name), false);
    return {
      id,
      reason: "breaker",
      untilMs: 5 * MINUTE,
      sentence: new RegExp(`^The breaker of ${name} is open after 2 failures in a row: one job is sent .* in`),
      unblock: [`rotor queues update ${name} --no-breaker`],
      help: () => rotor.queues.update(name, { breaker: null }),
    };
  },
  async "delayed, though the breaker is open for a while"({ db, jobOf, queueIdOf }) {
    const { name, id } = await jobOf({ breaker: { failures: 1, min: "5m", max: "1h" } }, { delay: "1h" });
    await failQueue(db, await queueIdOf(name), false);
    return {
      id,
      reason: "delayed",
      untilMs: HOUR,
      sentence: /^It is to start in/,
      unblock: [`rotor jobs update ${name} ${id} --delay 0s`],
    };
  },
  async held({ rotor, db, runOf }) {
    const { id, holder } = await runOf();
    await settleOne(db, holder, { kind: "diverged", error: { name: "Error", message: "step a is a sleep now." } });
    return {
      id,
      reason: "held",
      untilMs: 30 * 24 * HOUR,
      sentence: /^It is held: step a is a sleep now\. Left so, it fails in/,
      unblock: [`rotor runs resume ${id}`, `rotor runs cancel ${id}`],
      help: () => rotor.runs.resume(id),
    };
  },
  async unreachable({ rotor, db, newName }) {
    const name = newName();
    const queueId = await functionQueue(db, name);
    const { runId } = await rotor.runs.start(name, {});
    const { appId } = (await getQueue(db, "default", "function", name))!;
    await tripQueue(db, queueId, appId, 0);
    return {
      id: runId,
      reason: "unreachable",
      untilMs: 2_000,
      sentence: new RegExp(`^The app ${name} at http://127.0.0.1:9/${name} cannot be reached since 20.*no attempt\\.$`),
      unblock: [`rotor functions sync http://127.0.0.1:9/${name}`],
    };
  },
  async no_url({ rotor, jobOf }) {
    const { name, id } = await jobOf({ callbackUrl: null });
    return {
      id,
      reason: "no_url",
      untilMs: null,
      sentence: new RegExp(`^The queue ${name} has no callback_url: there is nowhere to send it\\.$`),
      unblock: [`rotor queues update ${name} --callback-url <url>`],
      help: () => rotor.queues.update(name, { callbackUrl: CALLBACK }),
    };
  },
  async "no_url: a function that no app has any more"({ rotor, db, newName }) {
    const name = newName();
    await functionQueue(db, name);
    const { runId } = await rotor.runs.start(name, {});
    await db.script(`update rotor.queues set url = null where kind = 'function' and name = '${name}'`);
    return {
      id: runId,
      reason: "no_url",
      untilMs: null,
      sentence: new RegExp(`^No app serves the function ${name} any more`),
      unblock: ["rotor functions sync <url>"],
    };
  },
  async approval({ rotor, jobOf }) {
    const { id } = await jobOf({ approvalRequired: true, approvalTimeout: "2h" });
    return {
      id,
      state: "pending_approval",
      reason: "approval",
      untilMs: 2 * HOUR,
      sentence: /^It waits for somebody to approve it; without an answer it fails in/,
      unblock: [`rotor approvals approve ${id}`, `rotor approvals reject ${id}`],
      help: () => rotor.approvals.approve(id),
    };
  },
  async active({ claimed, jobOf }) {
    const { name, id } = await jobOf({ timeout: "5m", retry: { maxAttempts: 4 } });
    await claimed("callback", name);
    return {
      id,
      state: "active",
      reason: null,
      untilMs: 5 * MINUTE,
      sentence: /^It moves: attempt 1 of 4 is under way, and may take until 20/,
      unblock: [],
    };
  },
  async completed({ db, jobOf, queueIdOf }) {
    const { name, id } = await jobOf();
    const holder = await claimOne(db, await queueIdOf(name), id);
    await settleOne(db, holder, { kind: "done", output: null });
    return { id, state: "completed", reason: null, untilMs: null, sentence: /^It is completed\.$/, unblock: [] };
  },
  async failed({ rotor, db, jobOf, queueIdOf }) {
    const { name, id } = await jobOf();
    const holder = await claimOne(db, await queueIdOf(name), id);
    await settleOne(db, holder, failedWith("410 Gone", true));
    return {
      id,
      state: "failed",
      reason: null,
      untilMs: null,
      sentence: /^It failed for good: 410 Gone\.$/,
      unblock: [`rotor dlq replay ${id}`],
      help: () => rotor.dlq.replay({ ids: [id] }),
    };
  },
  async cancelled({ rotor, jobOf }) {
    const { name, id } = await jobOf();
    await rotor.jobs.cancel(name, id);
    return { id, state: "cancelled", reason: null, untilMs: null, sentence: /^It is cancelled\.$/, unblock: [] };
  },
};
