/** The pages of `docs/workflows/` that are not about one step, with every block run. Time passes by the database's clock. */
import { createFunction, NonRetriableError, nodeHandler, type WorkflowHandler } from "@rotorsh/sdk";
import { type OneProcess, startRotor } from "@rotorsh/server";
import { afterAll, beforeAll, expect, vi } from "vitest";
import { testDatabase } from "../../packages/server/src/testing-kit/database.js";
import { eventually } from "../../packages/server/src/testing-kit/server.js";
import { failNext } from "./app/calls.js";
import { startEndpoint } from "./testing-kit/endpoint.js";
import { openStage, pagesOn, type Stage } from "./testing-kit/stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const page = pagesOn(() => stage);
const names = (calls: readonly (readonly [string, ...unknown[]])[]) => calls.map(([name]) => name);

// First: its event of a later time is later by the clock of this machine.
page("starting", async ({ exports, next, run, result, calls }, { rotor, pass }) => {
  expect(await next()).toMatch(/^event \S+ started 1 run$/);
  expect(await result("onboard")).toBe("user.signed-up");
  const free = await rotor.send({ name: "user.signed-up", data: { email: "b@example.com", plan: "free" } });
  expect(free.runs).toEqual([]);
  await rotor.send({ name: "user.upgraded", data: { email: "b@example.com" } });
  expect(await result("onboard")).toBe("user.upgraded");

  expect(await next()).toBe("true");
  await rotor.runs.start("weekly");
  await result("weekly");
  const nameOf = exports.nameOf as (contactId: string) => Promise<string>;
  calls();
  expect(await nameOf("c1")).toBe("Ada");
  expect(await nameOf("c1")).toBe("Ada");
  expect(calls()).toHaveLength(1);
  await next();
  await run("look-up", "completed");

  await rotor.send(["a1", "a1", "a2"].map((account) => ({ name: "account.changed", data: { account } })));
  expect(await result("sync-account")).toMatchObject({ customer: expect.stringMatching(/^a/) });

  await rotor.send({ name: "session.opened", data: { user: "u1" } });
  const session = await run("session", "event");
  expect(await rotor.runs.start("session", { user: "u1" })).toEqual({ runId: session, skipped: true });
  await rotor.send({ name: "session.closed", data: { user: "u1" } });
  expect(await result("session")).toBe("u1");

  const alarm = { name: "alarm.raised", data: { email: "ops@example.com" } };
  await rotor.send([alarm, alarm, alarm]);
  await run("alert", "rate_limited");
  const alarms = async () => (await rotor.runs.list({ function: "alert" }).page()).data;
  const areDone = (count: number) => async () =>
    (await alarms()).filter(({ state }) => state === "completed").length === count;
  // The third waits from its start on. A minute counts from when the other two begin, which may be later than that.
  await eventually("the first two alarms", areDone(2), 15_000, alarms);
  await pass("1m");
  await eventually("the third alarm", areDone(3), 15_000, alarms);

  for (const text of ["draft", "final"]) await rotor.send({ name: "page.edited", data: { page: 1, text } });
  await run("index", "delayed");
  await pass("30s");
  expect(await result("index")).toMatchObject({ customer: "final" });
  expect((await rotor.runs.list({ function: "index" }).page()).data).toHaveLength(1);

  await rotor.send(["a", "b", "c"].map((page) => ({ name: "click", data: { page } })));
  expect(await result("store")).toMatchObject({ customer: "a,b,c" });

  const due = { name: "invoice.due", data: { invoiceId: "i1", amount: 2, plan: "pro" } };
  await rotor.send([due, due]);
  await result("settle");
  expect((await rotor.runs.list({ function: "settle" }).page()).data).toHaveLength(1);

  await rotor.send({ name: "cart.left", data: { cart: 1, email: "ada@example.com" } });
  await run("remind", "sleeping");
  await rotor.send({ name: "order.placed", data: { cart: 1 } });
  await run("remind", "cancelled");
});

page("errors", async ({ next, run, result, calls }, { rotor, now, pass }) => {
  await rotor.send({ name: "contact.changed", data: { path: "/c1" } });
  const sync = await run("sync", "retrying");
  const until = Date.parse((await rotor.runs.get(sync)).until ?? "");
  expect(Math.abs(until - now() - 120_000)).toBeLessThan(60_000);
  await pass("2m");
  expect(await result("sync")).toBe("partner says /c1");

  failNext("ship", new Error("no courier"), new Error("no courier"));
  await rotor.send({ name: "order.placed", data: { orderId: "o1", amount: 5 } });
  await run("order", "retrying");
  await pass("2s");
  expect(await result("order")).toEqual({ refunded: "no courier" });
  expect(names(calls()).slice(-4)).toEqual(["charge", "ship", "ship", "refund"]);

  failNext("charge", new NonRetriableError("no such card"));
  await rotor.send({ name: "order.placed", data: { orderId: "o2", amount: 7 } });
  const failed = await run("order", "failed");
  expect((await rotor.dlq.list().page()).data.map(({ id }) => id)).toContain(failed);
  await next({ runId: failed });
  expect(await result("order")).toEqual({ trackingId: "trk_o2" });
  expect(names(calls())).toEqual(["charge", "charge", "ship"]);
  await next({ runId: failed });
  expect(calls()).toEqual([["ship", "o2"]]);

  failNext("charge", new NonRetriableError("no such card"));
  await rotor.send({ name: "order.placed", data: { orderId: "o3", amount: 7 } });
  await next({ runId: await run("order", "failed") });
  await result("order");

  failNext("charge", new Error("no card"));
  await rotor.send({ name: "period.ended", data: { customer: "k1" } });
  const unpaid = await run("billing", "failed");
  expect(await result("billing.on-failure")).toBe("k1");
  expect(calls().at(-1)?.[2]).toMatch(`${unpaid} failed in charge: Step "charge" failed after 1 attempt: no card`);

  await rotor.send({ name: "offer.sent", data: { offerId: 1 } });
  await run("offer", "event");
  await pass("14d");
  expect((await rotor.runs.get(await run("offer", "failed"))).error?.name).toBe("RunTimeoutError");

  await rotor.send({ name: "contact.changed", data: { path: "/c2" } });
  const waiting = await run("sync", "retrying");
  await next({ runId: waiting });
  expect((await rotor.runs.get(waiting)).state).toBe("cancelled");
});

page("changing-code", async ({ text, next, run, result, calls }, { rotor, serve, pass }) => {
  await rotor.runs.start("reminder", { email: "a@example.com" });
  await rotor.send({ name: "cart.left", data: { email: "b@example.com" } });
  await run("reminder", "sleeping");
  await run("reminder-2", "event");
  await pass("7d");
  await result("reminder");
  await result("reminder-2");
  expect(names(calls())).toEqual(["sendEmail", "sendEmail"]);
  for (const at of ["2026-11-30T00:00:00Z", "2026-12-02T00:00:00Z"]) {
    await rotor.send({ name: "order.placed", ts: Date.parse(at), data: { orderId: at, amount: 1 } });
    await result("purchase");
  }
  expect(names(calls())).toEqual(["charge", "ship", "ship", "charge"]);
  await rotor.runs.start("crawl", { cursor: 0 });
  expect(await result("crawl")).toBe(null);
  expect(names(calls())).toEqual(["listCustomers", "listCustomers", "listCustomers"]);

  const before = createFunction({ id: "mailing" }, async ({ step }) =>
    Promise.all([step.sleep("nap", "1h"), step.waitForEvent("wait-open", { event: "email.opened", timeout: "2d" })]),
  );
  await serve([before]);
  await rotor.runs.start(before);
  await run("mailing", "event", "sleeping");
  const after = createFunction({ id: "mailing" }, async ({ step }) => step.sleep("nap", "1h"));
  await serve([after]);
  await pass("1h");
  const { error } = await rotor.runs.get(await run("mailing", "held"));
  expect(text).toContain(`\n${error?.message}\n`);
  await serve([before]);
  await next();
  await run("mailing", "event");
  await serve([after], false);
  await next();
  await serve([before]);
  await rotor.send({ name: "email.opened", data: 1 });
  expect(await result("mailing")).toEqual([null, 1]);
});

page("patterns", async ({ run, result, calls }, { rotor, pass }) => {
  failNext("ship", new Error("full"), new Error("full"));
  await rotor.send({ name: "booking.asked", data: { orderId: "o1", amount: 5 } });
  await run("booking", "retrying");
  await pass("2s");
  await run("booking", "failed");
  expect(names(calls())).toEqual(["reserve", "charge", "ship", "ship", "refund", "release"]);

  await rotor.send({ name: "expense.filed", data: { expenseId: "e1", amount: 3 } });
  await run("approval", "signal");
  const [, link] = /Approve: (\S+)/.exec(String(calls().at(-1)?.[2]))!;
  expect((await fetch(link!, { method: "POST" })).status).toBe(200);
  expect(await result("approval")).toBe("paid");

  await rotor.runs.start("nightly");
  expect(await result("nightly")).toEqual({ done: 2, failed: 0 });

  await rotor.send({ name: "lead.added", data: { contactId: "c1" } });
  await run("drip", "event");
  await pass("3d");
  await rotor.send({ name: "deal.won", data: { contactId: "c1" } });
  expect(await result("drip")).toBe("bought after intro");
  expect(
    calls()
      .filter(([name]) => name === "sendEmail")
      .map(([, , mail]) => mail),
  ).toEqual(["intro", "intro-other-subject"]);

  await rotor.send({ name: "export.asked", data: { account: "a1" } });
  for (const pause of ["1m", "2m"] as const) {
    await run("download", "sleeping");
    await pass(pause);
  }
  expect(await result("download")).toBe("https://example.com/exp_a1");

  await rotor.send({ name: "agent.asked", data: { question: "who is owed?" } });
  const agent = await run("agent", "signal");
  await rotor.signals.complete(`agent-${agent}-2`, { yes: true });
  expect(await result("agent")).toBe("Done: pay of inv_1");
  expect(names(calls()).filter((name) => name.startsWith("use") || name.startsWith("ask"))).toEqual([
    "askModel",
    "useTool",
    "askModel",
    "useTool",
    "askModel",
  ]);
});

page("testing", async ({ next, run, result }, { rotor, pass }) => {
  vi.spyOn(console, "info").mockImplementation(() => undefined);
  await next();
  await next();
  await rotor.send({ name: "contact.added", data: { contactId: "c1", email: "ada@example.com" } });
  await run("outreach-mails", "event");
  await rotor.send({ name: "raffle.closed", data: { names: ["ada", "bob"] } });
  await run("draw", "sleeping");
  await pass("1h");
  expect(["ada", "bob"]).toContain(await result("draw"));
  expect(console.info).toHaveBeenCalledTimes(1);

  const database = await testDatabase();
  vi.stubEnv("DATABASE_URL", database.url);
  vi.stubEnv("ROTOR_SCHEMA", database.schema);
  vi.stubEnv("ROTOR_PORT", "0");
  vi.stubEnv("ROTOR_LOG_LEVEL", "error");
  vi.stubEnv("ROTOR_ENCRYPTION_KEYS", Buffer.alloc(32, 7).toString("base64"));
  let started: Awaited<ReturnType<typeof startRotor>> | undefined;
  const listeners = process.listeners("SIGTERM");
  await next({}, { "@rotorsh/server": { startRotor: async (own: OneProcess) => (started = await startRotor(own)) } });
  await started?.stop();
  for (const each of process.listeners("SIGTERM"))
    if (!listeners.includes(each)) process.removeListener("SIGTERM", each);
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await database.close();
});

page("coming-from-inngest", async ({ next, run, result }, { rotor, pass }) => {
  await next();
  await pass("1h");
  await run("activation", "sleeping");
  await pass("2h");
  await run("activation", "event");
  await rotor.send({ name: "app/onboarding.completed", data: { userId: "u1" } });
  expect(await result("activation")).toBe("onboarded");
});

page("coming-from-temporal", async ({ next, run, result, calls }, { pass }) => {
  await next();
  await run("subscription", "event");
  await pass("30d");
  await run("subscription", "event");
  await pass("30d");
  expect(await result("subscription")).toBe("over");
  expect(names(calls())).toEqual(["charge", "charge", "sendEmail"]);
});

page("coming-from-trigger-dev", async ({ next, run, result }, { pass }) => {
  await next();
  await pass("3d");
  await run("invoice", "sleeping");
  await pass("7d");
  expect(await result("invoice")).toEqual({ paymentId: "pay_o5" });
});

page("../workflows", async ({ exports, next, run, result }, { rotor, serve, pass }) => {
  const placed = (orderId: string) => rotor.send({ name: "order.placed", data: { orderId, amount: 5 } });
  await placed("o1");
  await run("order", "sleeping");
  await pass("30m");
  await run("order", "event");
  await pass("1h");
  expect(await result("order")).toEqual({ shipped: true });

  const endpoint = await startEndpoint();
  await endpoint.listening(() => next());
  await rotor.functions.sync({ url: `${endpoint.url()}/api/rotor`, move: true });
  await rotor.runs.start("hello", { name: "Ada" });
  expect(await result("hello")).toBe("Hello Ada");
  await endpoint.close();

  const route = await startEndpoint();
  route.serve(nodeHandler(exports.POST as WorkflowHandler));
  await rotor.functions.sync({ url: `${route.url()}/api/rotor`, move: true });
  await rotor.runs.start("hi", { name: "Ada" });
  expect(await result("hi")).toBe("Hi Ada");
  await route.close();
  await serve([]);
});
