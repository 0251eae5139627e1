/** What the stage shows: functions and queues in all states that a page can meet, as a small shop would have them. */
import { createFunction, NonRetriableError } from "@rotorsh/sdk";
import { eventually } from "../../server/src/testing-kit/server.js";
import type { Stage } from "./stage.js";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const sendReceipt = createFunction({ id: "send-receipt" }, async ({ event, step }) => {
  const pdf = await step.run("render-pdf", async () => {
    await pause(120);
    return { pages: 2, url: `https://files.example/receipts/${event.data.orderId}.pdf` };
  });
  await step.run("email", () => pause(40));
  return pdf;
});

/** Fails once at its card, ships, sleeps, and waits for the carrier. */
const fulfilOrder = createFunction(
  { id: "fulfil-order", trigger: { event: "order.placed" } },
  async ({ event, step }) => {
    const { orderId, total } = event.data as { orderId: string; total: number };
    await step.run("validate", () => pause(30));
    const payment = await step.run(
      "charge-card",
      async ({ attempt }) => {
        await pause(180);
        if (attempt === 1) throw new Error("The card network answered 503: try again");
        return { id: `pay_${orderId}`, amount: total, currency: "EUR" };
      },
      { backoff: ["400ms"] },
    );
    await Promise.all([
      step.run("reserve-stock", () => pause(90)),
      step.run("print-label", async () => {
        await pause(260);
        return { carrier: "DHL", tracking: "JD0146000031" };
      }),
    ]);
    await step.invoke("receipt", { workflow: sendReceipt, data: { orderId }, timeout: "1h" });
    await step.sleep("cool-off", "2s");
    const scan = await step.waitForEvent("carrier-scan", {
      event: "parcel.scanned",
      match: { orderId, status: "delivered" },
      timeout: "7d",
    });
    await step.run("thank", () => pause(20));
    return { payment: payment.id, delivered: scan !== null };
  },
);

const publishPost = createFunction({ id: "publish-post", trigger: { event: "post.written" } }, async ({ step }) => {
  await step.run("render", () => pause(60));
  const verdict = await step.waitForSignal<{ approved: boolean }>("editor", { timeout: "3d" });
  if (verdict.approved) await step.run("publish", () => pause(30));
  return verdict;
});

const syncCrm = createFunction(
  { id: "sync-crm", trigger: { event: "contact.changed" }, retries: 0 },
  async ({ step }) => {
    await step.run("load", () => ({ rows: 1200 }));
    await step.run("push", () => {
      throw new NonRetriableError('The CRM refused the batch: field "vat_id" is required', {
        cause: new TypeError("row 17 has no vat_id"),
      });
    });
  },
);

const nightly = createFunction({ id: "nightly-report", trigger: { event: "report.asked" } }, async ({ step }) => {
  await step.sleep("until-night", "9h");
  await step.run("render", () => ({ rows: 81_000 }));
});

/** Registers all of it and waits until it stands still. Answers ids of things to look at. */
export async function tell(stage: Stage) {
  const { server } = stage;
  const { rotor } = server;
  await stage.serveFunctions("shop", [fulfilOrder, sendReceipt, publishPost, syncCrm, nightly]);
  const endpoint = await server.serve((request, response) => {
    request.resume().once("end", () => {
      const path = request.url ?? "";
      if (path.startsWith("/ok"))
        return response.writeHead(200, { "content-type": "application/json" }).end('{"sent":true}');
      if (path.startsWith("/down")) return response.writeHead(503).end("upstream connect error");
      response.writeHead(422, { "content-type": "text/plain" }).end("address is not valid");
    });
  });
  const fixed = { backoff: ["10ms"], jitter: "none" } as const;
  await rotor.queues.put("emails", { callbackUrl: `${endpoint}/ok` });
  await rotor.queues.put("crm-export", {
    callbackUrl: `${endpoint}/down`,
    retry: { maxAttempts: 5, backoff: ["20ms", "20ms", "41m"], jitter: "none" },
  });
  await rotor.queues.put("letters", { callbackUrl: `${endpoint}/wrong`, retry: { ...fixed, maxAttempts: 3 } });
  await rotor.queues.put("refunds", { callbackUrl: `${endpoint}/ok`, approvalRequired: true });
  await rotor.queues.put("thumbnails", { callbackUrl: `${endpoint}/ok` });
  await rotor.queues.pause("thumbnails");

  const people = ["ada", "grace", "edsger", "barbara", "donald", "frances"];
  for (const [index, person] of people.entries()) {
    await rotor.jobs.enqueue("emails", {
      jobId: `welcome-${person}`,
      payload: { to: `${person}@example.com`, template: "welcome" },
      tags: ["onboarding"],
    });
    await rotor.jobs.enqueue("letters", {
      jobId: `letter-${person}`,
      payload: { name: person, city: "Zürich" },
      tags: [index % 2 ? "print" : "reprint"],
    });
  }
  await rotor.jobs.enqueue("thumbnails", { payload: { image: "a.png" } });
  await rotor.jobs.enqueue("emails", { payload: { to: "tomorrow@example.com" }, delay: "20h", tags: ["digest"] });
  const refund = await rotor.jobs.enqueue("refunds", {
    jobId: "refund-1042",
    payload: { orderId: "o-1042", amount: 129.9 },
  });
  const crm = await rotor.jobs.enqueue("crm-export", {
    jobId: "export-2026-11",
    payload: { month: "2026-11", rows: 12_480, format: "csv" },
  });

  const start = async (name: string, data: unknown): Promise<string> => (await rotor.send({ name, data })).runs[0]!;
  for (const person of people.slice(0, 3))
    await start("order.placed", { orderId: `o-${person}`, total: 20, items: [] });
  const held = await start("post.written", { slug: "durable-by-default", author: "grace" });
  const failed = await start("contact.changed", { contactId: "c-88" });
  const sleeping = await start("report.asked", { month: "2026-11" });
  const order = await start("order.placed", {
    orderId: "o-1042",
    total: 129.9,
    customer: { name: "Ada Lovelace", email: "ada@example.com" },
    items: [
      { sku: "DE-200", count: 2 },
      { sku: "DE-410", count: 1 },
    ],
  });
  await rotor.send({ name: "parcel.scanned", data: { orderId: "o-1042", status: "in transit" } });
  const standing = (id: string, what: string) =>
    eventually(`${id} ${what}`, async () => {
      const run = await rotor.runs.get(id);
      return (run.reason ?? run.state) === what;
    });
  await Promise.all([
    standing(held, "signal"),
    standing(failed, "failed"),
    standing(sleeping, "sleeping"),
    standing(order, "event"),
  ]);
  await rotor.send({ name: "parcel.scanned", data: { orderId: "o-ada", status: "delivered" } });
  await rotor.send({ name: "parcel.scanned", data: { orderId: "o-1042", status: "out for delivery" } });
  await eventually(
    "the letters",
    async () => (await rotor.dlq.list({ queue: "letters" }).page()).data.length === people.length,
  );
  await eventually(
    "the export",
    async () => ((await rotor.jobs.get("crm-export", crm.id)).deliveries ?? []).length === 3,
  );
  return { runs: { order, held, failed, sleeping }, jobs: { crm: crm.id, refund: refund.id } };
}
