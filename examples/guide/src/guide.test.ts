/** The guide's promises, one story each, against a real server; and its snippets, letter by letter. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { getRequestListener } from "@hono/node-server";
import { createFunction, defineEvent, serveWorkflow, verifyRotorSignature } from "@rotorsh/sdk";
import { DEVELOPMENT_SIGNING_KEY } from "@rotorsh/sdk/protocol";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../../../packages/server/src/testing-kit/server.js";
import { done, failOnce, mailbox } from "./contacts.js";

const DAY_MS = 86_400_000;
let server: TestServer;

beforeAll(async () => {
  process.env.ROTOR_SIGNING_KEY = DEVELOPMENT_SIGNING_KEY;
  process.env.ROTOR_DEV = "1";
  server = await testServer();
  process.env.ROTOR_BASE_URL = server.baseUrl;
});

afterAll(() => server.close());

const read = (path: string): string => readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");
const count = (what: string, contact: string): number =>
  done.filter((each) => each.what === what && each.contact === contact).length;
/** Serves functions as an app of its own; answers its URL. */
async function serveFunctions(
  name: string,
  functions: Parameters<typeof serveWorkflow>[1]["functions"],
): Promise<void> {
  const app = new Hono();
  serveWorkflow(app, { functions, app: name });
  const url = await server.serve(getRequestListener(app.fetch));
  await server.rotor.functions.sync({ url: `${url}/api/rotor` });
}

test("the guide's snippets stand in the example letter by letter", () => {
  const guide = read("../../../docs/guide.txt");
  const body = (path: string): string => {
    const text = read(path);
    return text.slice(text.search(/^(app\.post|export const outreachSequence)/m)).trim();
  };
  expect(guide).toContain(body("./guide/callback.ts"));
  expect(guide).toContain(body("./guide/workflow.ts"));
});

test("the guide's endpoint is delivered to, signed, and again after it failed", async () => {
  const { app } = await import("./guide/callback.js");
  const url = await server.serve(getRequestListener(app.fetch));
  await server.rotor.queues.create("enrichment", {
    callbackUrl: `${url}/rotor/enrichment`,
    retry: { backoff: "fixed", min: "50ms" },
  });
  failOnce("c-1");
  const { id } = await server.rotor.jobs.enqueue("enrichment", { payload: { contactId: "c-1" } });
  const job = await eventually("the job's end", async () => {
    const found = await server.rotor.jobs.get("enrichment", id);
    return found.state === "completed" && found;
  });
  expect(job.attempt).toBe(2);
  expect(job.output).toEqual({ ok: true });
  expect(count("enrich", "c-1")).toBe(2);
  const forged = await fetch(`${url}/rotor/enrichment`, {
    method: "POST",
    body: "{}",
    headers: { "x-rotor-signature": `t=1790000000,v1=${"0".repeat(64)}` },
  });
  expect(forged.status).toBe(401);
});

test("a job whose attempts are used up is a dead letter, and a retry delivers it again", async () => {
  let healthy = false;
  const url = await server.serve((_, response) => response.writeHead(healthy ? 200 : 503).end());
  await server.rotor.queues.create("doomed", {
    callbackUrl: url,
    retry: { maxAttempts: 2, backoff: "fixed", min: "10ms" },
  });
  const { id } = await server.rotor.jobs.enqueue("doomed", { payload: 1 });
  await eventually("the dead letter", async () =>
    (await server.rotor.dlq.list({ queue: "doomed" }).page()).data.find((job) => job.id === id),
  );
  healthy = true;
  await server.rotor.jobs.retry("doomed", id);
  await eventually("the retry's end", async () => (await server.rotor.jobs.get("doomed", id)).state === "completed");
});

test("a queue's limit holds at the endpoint", async () => {
  let running = 0;
  let most = 0;
  const open: (() => void)[] = [];
  const url = await server.serve((_, response) => {
    most = Math.max(most, ++running);
    open.push(() => {
      running--;
      response.end();
    });
  });
  await server.rotor.queues.create("narrow", { callbackUrl: url, concurrency: 2 });
  const jobs = await server.rotor.jobs.enqueueBatch(
    "narrow",
    Array.from({ length: 6 }, (_, n) => ({ payload: n })),
  );
  // None ends before the second is there, however slow this machine is.
  await eventually("two at once", () => open.length >= 2);
  for (let finished = 0; finished < 6; finished++) {
    const end = await eventually("a delivery", () => open.shift());
    end();
  }
  await eventually("all ends", async () => {
    const states = await Promise.all(jobs.map(async ({ id }) => (await server.rotor.jobs.get("narrow", id)).state));
    return states.every((state) => state === "completed");
  });
  expect(most).toBe(2);
});

test("a schedule ticks in its time zone and enqueues once", async () => {
  const bodies: string[] = [];
  const url = await server.serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    expect(verifyRotorSignature(body, request.headers["x-rotor-signature"], DEVELOPMENT_SIGNING_KEY)).toBe(true);
    bodies.push(body);
    response.end();
  });
  await server.rotor.queues.create("nightly", { callbackUrl: url });
  const schedule = await server.rotor.schedules.create("report", {
    queue: "nightly",
    cron: "* * * * * *",
    timezone: "Europe/Stockholm",
    payload: { report: 1 },
  });
  expect(schedule.nextFires).toHaveLength(5);
  await eventually("two ticks", () => bodies.length >= 2);
  await server.rotor.schedules.pause("report");
  expect(bodies.every((body) => body === '{"report":1}')).toBe(true);
});

test("the guide's workflow sleeps a day without a worker, waits for its event and mails twice", async () => {
  const { outreachSequence } = await import("./guide/workflow.js");
  await serveFunctions("outreach", [outreachSequence]);
  const mails: string[] = [];
  mailbox.deliver = ({ to, template }) => mails.push(`${to}/${template}`);
  const { runs } = await server.rotor.send({ name: "contact.added", data: { contactId: "c-2" } });
  const runId = runs[0]!;
  const asleep = await eventually("the sleep", async () => {
    const run = await server.rotor.runs.get(runId);
    return run.reason === "sleeping" && run;
  });
  expect(asleep.state).toBe("waiting");
  expect(new Date(asleep.until!).getTime()).toBeGreaterThan(Date.now() + DAY_MS - 60_000);
  await server.shiftClock(DAY_MS + 1_000);
  await eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === "event");
  expect(mails).toEqual(["c-2@example.com/intro"]);
  await server.rotor.send({ name: "email.opened", data: { contactId: "somebody else" } });
  await server.rotor.send({ name: "email.opened", data: { contactId: "c-2", at: "now" } });
  await eventually("the end", async () => (await server.rotor.runs.get(runId)).state === "completed");
  expect(mails).toEqual(["c-2@example.com/intro", "c-2@example.com/followup"]);
  expect(count("fetch", "c-2")).toBe(1);

  const second = (await server.rotor.send({ name: "contact.added", data: { contactId: "c-3" } })).runs[0]!;
  await eventually("the second sleep", async () => (await server.rotor.runs.get(second)).reason === "sleeping");
  await server.shiftClock(2 * DAY_MS + 2_000);
  await eventually("the second wait", async () => (await server.rotor.runs.get(second)).reason === "event");
  await server.shiftClock(10 * DAY_MS);
  await eventually("its timeout", async () => (await server.rotor.runs.get(second)).state === "completed");
  expect(mails.filter((mail) => mail.startsWith("c-3"))).toEqual(["c-3@example.com/intro"]);
});

test("finished steps return their cached results when the function is tried again", async () => {
  let first = 0;
  let tries = 0;
  const flaky = createFunction({ id: "flaky", retries: 3 }, async ({ step }) => {
    const value = await step.run("first", () => ++first);
    await step.run(
      "second",
      () => {
        if (++tries < 3) throw new Error("not yet");
      },
      { backoff: ["10ms"] },
    );
    return value;
  });
  await serveFunctions("flaky-app", [flaky]);
  const { runId } = await server.rotor.runs.start(flaky, {});
  const run = await server.rotor.runs.result(runId, { timeout: "20s" });
  expect(run).toBe(1);
  expect([first, tries]).toEqual([1, 3]);
});

test("a signal resumes the run that waits for it, once", async () => {
  const approval = createFunction({ id: "approval" }, async ({ step }) =>
    step.waitForSignal<{ by: string }>("approve", { signal: "order-7", timeout: "1h" }),
  );
  await serveFunctions("approval-app", [approval]);
  const { runId } = await server.rotor.runs.start(approval, {});
  await eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === "signal");
  await server.rotor.signals.complete("order-7", { by: "ada" });
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toEqual({ by: "ada" });
  await expect(server.rotor.signals.complete("order-7", { by: "bob" })).rejects.toMatchObject({ status: 404 });
});

test("invoke fans out to other functions and collects their results", async () => {
  const square = createFunction({ id: "square" }, async ({ event }) => event.data.n * event.data.n);
  const sum = createFunction({ id: "sum" }, async ({ step }) => {
    const parts = await Promise.all(
      [1, 2, 3].map((n) => step.invoke<number>(`square-${n}`, { workflow: square, data: { n }, timeout: "1m" })),
    );
    return parts.reduce((total, part) => total + part.result, 0);
  });
  await serveFunctions("sums", [square, sum]);
  const { runId } = await server.rotor.runs.start(sum, {});
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe(14);
});

test("a step enqueues a callback job, once, and may wait for its output", async () => {
  const url = await server.serve((_, response) =>
    response.writeHead(200, { "content-type": "application/json" }).end('{"lifted":true}'),
  );
  await server.rotor.queues.create("heavy", { callbackUrl: url });
  const delegate = createFunction({ id: "delegate" }, async ({ step }) =>
    step.enqueue("lift", "heavy", { payload: { kilos: 90 } }, { wait: true }),
  );
  await serveFunctions("delegates", [delegate]);
  const { runId } = await server.rotor.runs.start(delegate, {});
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toEqual({ lifted: true });
});

test("a thousand sleeping runs hold no worker, no connection and no timer", async () => {
  const sleeper = createFunction({ id: "sleeper", concurrency: 200 }, async ({ step }) => step.sleep("long", "30d"));
  await serveFunctions("sleepers", [sleeper]);
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  await Promise.all(Array.from({ length: 1_000 }, () => server.rotor.runs.start(sleeper, {})));
  const count = { name: "test.sleeping", text: SLEEPING };
  await eventually(
    "all asleep",
    async () => {
      const [row] = await server.db.query<{ asleep: number; held: number }>(count);
      return row?.asleep === 1_000 && row.held === 0;
    },
    60_000,
  );
  // Server, app and database driver all live in this process: a timer for each run could not hide.
  await eventually("no timers", () => timers() < before + 100);
  const page = await server.rotor.runs.list({ function: "sleeper" }).page();
  expect(page.data.every((run) => run.reason === "sleeping")).toBe(true);
});

const SLEEPING = `select count(*) filter (where job.state = 'waiting')::int as asleep,
  count(*) filter (where job.state = 'active' or job.node_id is not null)::int as held
  from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id where queue.name = 'sleeper'`;

test("what a step enqueues or sends is there once, however often the step runs", async () => {
  const url = await server.serve((_, response) => response.end());
  await server.rotor.queues.create("lifted", { callbackUrl: url });
  const delivered = defineEvent<{ order: number }>("order.delivered");
  let tries = 0;
  const order = createFunction({ id: "order", retries: 2 }, async ({ event, step }) =>
    step.run(
      "hand-over",
      async ({ attempt }) => {
        tries++;
        const job = await server.rotor.jobs.enqueue("lifted", { payload: event.data });
        const sent = await server.rotor.send(delivered({ order: event.data.order }));
        if (attempt < 3) throw new Error("lost after handing over");
        return { job: job.id, duplicate: job.duplicate, event: sent.id };
      },
      { backoff: ["10ms"] },
    ),
  );
  const shipped = createFunction(
    { id: "shipped", trigger: { event: delivered } },
    async ({ event }) => event.data.order + 1,
  );
  await serveFunctions("orders", [order, shipped]);
  const { runId } = await server.rotor.runs.start(order, { order: 7 });
  const result = (await server.rotor.runs.result(runId, { timeout: "20s" })) as { duplicate: boolean; event: string };
  expect([tries, result.duplicate]).toEqual([3, true]);
  expect((await server.rotor.jobs.list("lifted").page()).data).toHaveLength(1);
  const runs = (await server.rotor.runs.list({ function: "shipped" }).page()).data;
  expect(runs).toHaveLength(1);
  expect(await server.rotor.runs.result(runs[0]!.id, { timeout: "20s" })).toBe(8);
});
