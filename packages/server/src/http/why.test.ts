/** Why does it not move? A row a reason, through the API on a real store: what is said, and that what is told to do helps. */
import { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { decide } from "../core/job.js";
import type { Db } from "../store/db.js";
import { registerNode } from "../store/nodes.js";
import { failQueue, getQueue, tripQueue } from "../store/queues.js";
import { openRateKeys } from "../store/rate-keys.js";
import {
  claimOne,
  failedWith,
  functionQueue,
  type Holder,
  notYet,
  publishOne,
  settleOne,
  waitFor,
} from "../testing-kit/fixtures.js";
import { createApp } from "./app.js";
import { createApiKey, SCOPES } from "./auth.js";
import type { TestApi } from "./testing-kit/api.js";
import { CALLBACK, type ClientApi, clientApi } from "./testing-kit/client.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let api: TestApi;
let db: Db;
let rotor: Rotor;
let claimed: ClientApi["claimed"];

beforeAll(async () => {
  ({ api, rotor, claimed } = await clientApi());
  db = api.database.db;
});
beforeEach(async () => {
  await api.database.shiftClock(0);
  await db.script("delete from rotor.nodes");
  await registerNode(db, newId(), "test");
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

type Told = {
  /** The job or run that is asked about. */
  readonly id: string;
  readonly state?: string;
  readonly reason: string | null;
  /** From now, in milliseconds; null where no time ends it. */
  readonly untilMs: number | null;
  readonly sentence: RegExp;
  readonly unblock: readonly string[];
  readonly blockedBy?: readonly string[];
  /** Does what the first command does. Then the job can be claimed. */
  readonly help?: () => Promise<unknown>;
};

let names = 0;
const newName = (): string => `why-${++names}`;

/** A queue of its own with one job. */
async function jobOf(queue: object = {}, job: object = {}) {
  const name = newName();
  await rotor.queues.create(name, { callbackUrl: CALLBACK, ...queue });
  const { id } = await rotor.jobs.enqueue(name, { payload: { customer: "acme" }, ...job });
  return { name, id };
}

/** A run of a function of its own, in a delivery's hands. */
async function runOf(): Promise<{ name: string; id: string; queueId: number; holder: Holder }> {
  const name = newName();
  const queueId = await functionQueue(db, name);
  const { runId } = await rotor.runs.start(name, {});
  return { name, id: runId, queueId, holder: await claimOne(db, queueId, runId) };
}

const queueIdOf = async (name: string): Promise<number> => (await getQueue(db, "default", "callback", name))!.id;

const rows: Record<string, () => Promise<Told>> = {
  async delayed() {
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
  async "queued: the queue is full"() {
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
  async "queued: no node"() {
    await db.script("delete from rotor.nodes");
    const { id } = await jobOf();
    return { id, reason: "queued", untilMs: null, sentence: /^No server is running/, unblock: ["rotor start"] };
  },
  async "queued: it is next"() {
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
  async retrying() {
    const { name, id } = await jobOf({ retry: { backoff: "fixed", min: "10m", jitter: "none", maxAttempts: 3 } });
    const holder = await claimOne(db, await queueIdOf(name), id);
    const policy = {
      maxAttempts: 3,
      backoff: {
        kind: "fixed",
        factor: 1,
        minMs: 10 * MINUTE,
        maxMs: HOUR,
        jitter: "none",
        listMs: [],
      },
    } as const;
    const outcome = decide(
      { kind: "callback", attempt: 1, asyncTimeoutMs: 1 },
      failedWith("503 Service Unavailable"),
      policy,
      0,
    )!;
    await settleOne(db, holder, failedWith("503 Service Unavailable"), { policy, outcome, status: 503 });
    return {
      id,
      reason: "retrying",
      untilMs: 10 * MINUTE,
      sentence: /^Attempt 2 of 3 follows in .*: 503 Service Unavailable\.$/,
      unblock: [`rotor jobs update ${name} ${id} --delay 0s`],
      help: () => rotor.jobs.update(name, id, { delay: "0s" }),
    };
  },
  async "retrying: a step"() {
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
  async sleeping() {
    const { id, holder } = await runOf();
    await settleOne(db, holder, notYet([{ kind: "sleep", key: "nap", delay_ms: HOUR }]));
    return { id, reason: "sleeping", untilMs: HOUR, sentence: /^It sleeps in nap, and wakes in/, unblock: [] };
  },
  async event() {
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
  async signal() {
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
  async child() {
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
  async "rate_limited: the queue's"() {
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
  async "rate_limited: a value of its key"() {
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
  async key_blocked() {
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
  async paused() {
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
  async "paused: a function"() {
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
  async breaker() {
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
  async held() {
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
  async unreachable() {
    const name = newName();
    const queueId = await functionQueue(db, name);
    const { runId } = await rotor.runs.start(name, {});
    const { appId } = (await getQueue(db, "default", "function", name))!;
    await tripQueue(db, queueId, appId);
    return {
      id: runId,
      reason: "unreachable",
      untilMs: 2_000,
      sentence: new RegExp(`^The app ${name} at http://127.0.0.1:9/${name} cannot be reached since 20.*no attempt\\.$`),
      unblock: [`rotor functions sync http://127.0.0.1:9/${name}`],
    };
  },
  async no_url() {
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
  async "no_url: a function that no app has any more"() {
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
  async approval() {
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
  async active() {
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
  async completed() {
    const { name, id } = await jobOf();
    const holder = await claimOne(db, await queueIdOf(name), id);
    await settleOne(db, holder, { kind: "done", output: null });
    return { id, state: "completed", reason: null, untilMs: null, sentence: /^It is completed\.$/, unblock: [] };
  },
  async failed() {
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
  async cancelled() {
    const { name, id } = await jobOf();
    await rotor.jobs.cancel(name, id);
    return { id, state: "cancelled", reason: null, untilMs: null, sentence: /^It is cancelled\.$/, unblock: [] };
  },
};

describe("asked why, with a command that helps where there is one:", () => {
  test.each(Object.entries(rows))("%s", async (_name, arrange) => {
    const told = await arrange();
    const why = await rotor.jobs.why(told.id);
    expect(why).toMatchObject({ id: told.id, state: told.state ?? "waiting", reason: told.reason, nearMisses: [] });
    expect(why.sentence).toMatch(told.sentence);
    expect(why.unblock).toEqual(told.unblock);
    expect(why.blockedBy.map((holder) => holder.id)).toEqual(told.blockedBy ?? []);
    if (told.untilMs === null) expect(why.until).toBeNull();
    else {
      // A rate's parts make it up to a twentieth longer.
      const ms = Date.parse(why.until!) - Date.now();
      expect(ms).toBeGreaterThan(told.untilMs * 0.95 - 5_000);
      expect(ms).toBeLessThan(told.untilMs * 1.06 + 5_000);
    }
    if (why.since !== null) expect(Date.parse(why.since)).toBeLessThan(Date.now() + 5_000);
    if (told.help === undefined) return;
    await told.help();
    const { queue, kind } = await whereIs(told.id);
    expect((await claimed(kind, queue)).map((job) => job.jobId)).toContain(told.id);
    expect(await rotor.jobs.why(told.id)).toMatchObject({ state: "active", reason: null });
  });
});

/** The queue of a job, or function of a run. */
async function whereIs(id: string): Promise<{ queue: string; kind: "callback" | "function" }> {
  const { rows: found } = await db.script(
    `select queue.name as queue, queue.kind from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id where job.id = '${id}'`,
  );
  return found[0];
}

describe("a wait for an event tells what came near:", () => {
  const waiting = async (match: string | Record<string, string>) => {
    const { id, holder } = await runOf();
    const event = newName();
    await settleOne(db, holder, notYet([waitFor("w", event, { match })]));
    return { id, event };
  };

  test("the values that differ from an object, the newest event first, and those of user data as they are", async () => {
    const { id, event } = await waiting({ contactId: "c1", "deep.plan_name": "pro" });
    await publishOne(db, event, { contactId: "c2", deep: { plan_name: "pro" } });
    await publishOne(db, event, { deep: { plan_name: { snake_case: 1 } } });
    const { nearMisses, sentence } = await rotor.jobs.why(id);
    expect(nearMisses.map(({ differences }) => differences)).toEqual([
      [
        { path: "contactId", wanted: "c1", found: null },
        { path: "deep.plan_name", wanted: "pro", found: { snake_case: 1 } },
      ],
      [{ path: "contactId", wanted: "c1", found: "c2" }],
    ]);
    expect(sentence).toMatch(/2 of the last events of that name did not match\.$/);
  });

  test("the equalities of an expression, or all of it where it has none", async () => {
    const equal = await waiting(`data.contactId == "c1"`);
    await publishOne(db, equal.event, { contactId: "c2" });
    expect((await rotor.jobs.why(equal.id)).nearMisses).toMatchObject([
      { differences: [{ path: "contactId", wanted: "c1", found: "c2" }] },
    ]);
    const other = await waiting("data.amount > 100");
    await publishOne(db, other.event, { amount: 5 });
    expect((await rotor.jobs.why(other.id)).nearMisses).toMatchObject([
      { differences: [{ path: "data.amount > 100", wanted: true, found: false }] },
    ]);
  });

  test("of the last 20 events", async () => {
    const { id, event } = await waiting({ contactId: "c1" });
    for (let n = 0; n < 22; n++) await publishOne(db, event, { contactId: n });
    const { nearMisses } = await rotor.jobs.why(id);
    expect(nearMisses.map(({ differences }) => differences[0]!.found)).toEqual(
      Array.from({ length: 20 }, (_, n) => 21 - n),
    );
  });
});

test("where the database belongs to another environment, that is why", async () => {
  const { id } = await jobOf();
  const app = createApp({ ...api.engine, isHeld: () => true }, { log: { error: () => undefined } });
  const { key } = await createApiKey(db, "default", "held", SCOPES);
  const held = new Rotor({
    apiKey: key,
    baseUrl: "http://rotor.test",
    fetch: async (url, init) => app.request(url as string, init),
  });
  expect(await held.jobs.why(id)).toMatchObject({
    reason: "queued",
    sentence: expect.stringContaining("belongs to another environment"),
    unblock: ["rotor adopt --release"],
  });
});

test("another workspace's job, and one that is not there, are 404", async () => {
  const { id } = await jobOf();
  const other = await api.as("other");
  expect((await other("GET", `/v1/jobs/${id}/why`)).status).toBe(404);
  await expect(rotor.jobs.why(newId())).rejects.toMatchObject({ status: 404 });
  await expect(rotor.jobs.why("no-uuid")).rejects.toMatchObject({ status: 404 });
});
