/** The pages of `docs/workflows/` about steps, with every block run. Time passes by the database's clock. */
import { afterAll, beforeAll, expect } from "vitest";
import { openStage, pagesOn, type Stage } from "./testing-kit/stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const page = pagesOn(() => stage);

page("run", async ({ result, calls }, { rotor }) => {
  const { runs } = await rotor.send({ name: "order.placed", data: { orderId: "o1", amount: 5 } });
  expect(await result("order")).toEqual({ paymentId: "pay_o1", trackingId: "trk_o1" });
  expect(calls()).toEqual([
    ["charge", "o1", 5, `${runs[0]}/charge`],
    ["ship", "o1"],
  ]);
  await rotor.queues.put("enrichment", {});
  await rotor.runs.start("hand-over", { contacts: ["c1", "c2"] });
  expect(await result("hand-over")).toBe(2);
  expect((await rotor.jobs.list("enrichment").page()).data).toHaveLength(2);
  await rotor.runs.start("clock");
  expect(await result("clock")).toBe("1970-01-01T00:00:00.000Z");
});

page("sleep", async ({ run, result, calls }, { rotor, pass }) => {
  const endsAt = new Date(Date.now() + 14 * 86_400_000);
  await rotor.send({ name: "trial.started", data: { email: "ada@example.com", endsAt } });
  await run("trial", "sleeping");
  expect(calls()).toEqual([]);
  await pass("3d");
  await run("trial", "sleeping");
  await pass("11d");
  expect(await result("trial")).toBe(null);
  expect(calls().map(([, , template]) => template)).toEqual(["tips", "offer"]);
});

page("wait-for-event", async ({ next, run, result }, { rotor, pass }) => {
  await next();
  expect(await result("intro")).toBe("opened at noon");
  await rotor.send({ name: "contact.added", data: { contactId: 'O"Brien', email: "o@example.com" } });
  await run("intro", "event");
  await pass("7d");
  expect(await result("intro")).toBe("never opened");

  await rotor.send({ name: "invoice.sent", data: { invoiceId: "i1" } });
  await rotor.send({ name: "payment.received", data: { invoice: { id: "i1" }, currency: "USD", amount: 1 } });
  await rotor.send({ name: "payment.received", data: { invoice: { id: "i1" }, currency: "EUR", amount: 2 } });
  expect(await result("paid")).toBe(2);

  await rotor.send({ name: "cart.opened", data: { cartId: "k" } });
  for (const amount of [100, 101]) await rotor.send({ name: "order.placed", data: { cartId: "k", amount } });
  expect(await result("large")).toBe(true);

  await rotor.send({ name: "chat.opened", data: { chatId: 1 } });
  for (const line of ["hello", "there", "bye"]) await rotor.send({ name: "chat.line", data: { chatId: 1, line } });
  expect(await result("chat")).toEqual(["hello", "there"]);
});

page("wait-for-any", async ({ run, result, calls }, { rotor, pass }) => {
  const paid = async (orderId: string) => {
    await rotor.send({ name: "order.paid", data: { orderId } });
    return run("fulfil", "event", "signal");
  };
  await paid("o1");
  await rotor.send({ name: "order.released", data: { orderId: "o1", by: "Ann" } });
  expect(await result("fulfil")).toBe("shipped by Ann");
  await paid("o2");
  await rotor.send({ name: "order.cancelled", data: { orderId: "o2", paymentId: "p2" } });
  expect(await result("fulfil")).toBe("refunded");
  await paid("o3");
  await rotor.signals.complete("stop-o3");
  expect(await result("fulfil")).toBe("stopped");
  await paid("o4");
  await pass("2d");
  expect(await result("fulfil")).toBe("nobody decided");
  expect(calls()).toEqual([
    ["ship", "o1"],
    ["refund", "p2"],
  ]);
});

page("wait-for-signal", async ({ next, run, result }, { rotor, pass }) => {
  const filed = async (expenseId: string) => {
    await rotor.send({ name: "expense.filed", data: { expenseId, amount: 3 } });
    return run("expense", "signal");
  };
  const first = await filed("e1");
  expect(await next()).toBe(`run ${first} goes on`);
  expect(await result("expense")).toBe("paid");
  await expect(rotor.signals.complete("expense-e1")).rejects.toMatchObject({ status: 404 });

  await rotor.runs.start("review", { id: "r1" });
  await run("review", "signal");
  await pass("1d");
  expect(await result("review")).toBe("nobody looked");

  await filed("e2");
  const [, approve, reject] = /Approve: (\S+)\nReject: (\S+)/.exec(await next())!;
  expect((await fetch(approve!)).status).toBe(200);
  expect((await fetch(reject!, { method: "POST" })).status).toBe(200);
  expect(await result("expense")).toBe("rejected");
  expect((await fetch(approve!, { method: "POST" })).status).toBe(409);

  expect(await next()).toBe("kept");
  await rotor.send({ name: "expense.filed", data: { expenseId: "e3", amount: 3 } });
  expect(await result("expense")).toBe("paid");
});

page("invoke", async ({ result, calls }, { rotor }) => {
  await rotor.send({ name: "contact.added", data: { contactId: "c1" } });
  expect(await result("welcome")).toMatch(/^Ada, in run [0-9a-f-]{36}$/);
  expect(calls().map(([name]) => name)).toEqual(["fetchContact", "sendEmail"]);
  await rotor.runs.start("careful");
  expect(await result("careful")).toBe("no: out of stock");
});

page("send-event", async ({ result, calls }, { rotor }) => {
  await rotor.send({ name: "order.packed", data: { orderId: "o2" } });
  expect(await result("dispatch")).toBe(1);
  await result("notify");
  expect(calls()).toContainEqual(["sendEmail", "ada@example.com", "shipped-trk_o2"]);
});

page("enqueue", async ({ next, result }, { rotor, server }) => {
  const endpoint = await server.serve((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end('{"name":"Analytical Engines"}');
  });
  await next();
  await rotor.queues.update("enrichment", { callbackUrl: endpoint });
  await rotor.send({ name: "contact.added", data: { contactId: "c1" } });
  const { company, sync } = (await result("enrich")) as { company: string; sync: string };
  expect(company).toBe("Analytical Engines");
  expect((await rotor.jobs.get("crm-sync", sync)).reason).toBe("delayed");
});

page("parallel", async ({ run, result, calls }, { rotor }) => {
  await rotor.send({ name: "order.placed", data: { orderId: "o3", contactId: "c3" } });
  expect(await result("prepare")).toEqual({ contact: "Ada", reservation: "res_o3", lines: [5, 5] });
  await rotor.runs.start("quick");
  expect(await result("quick")).toBe("exp_a1");
  await rotor.runs.start("walk");
  expect(await result("walk")).toEqual(["c_0a", "c_0b", "c_1a", "c_1b", "c_2a", "c_2b"]);
  const { steps } = await rotor.runs.get(await run("walk"));
  expect(steps?.map(({ key }) => key)).toEqual(["page", "page#2", "page#3"]);
  expect(calls().length).toBe(8);
});
