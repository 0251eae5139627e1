/** The overview and the pages of what is defined, with what an attacker would write in every field that they show. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../server/src/testing-kit/server.js";
import { all, HOSTILE, harmless, RUN, short } from "./attacks.js";
import { openStage, PHONE, type Stage, WIDE } from "./stage.js";

let stage: Stage;
let paths: string[] = [];

/** What of it a header can hold. */
const plain = all.replaceAll(/[^ -~]/g, "");

beforeAll(async () => {
  stage = await openStage({ ROTOR_NODE_ID: all.slice(0, 200) });
  const { rotor, ...server } = stage.server;
  const tags = HOSTILE.slice(0, 9).map((text) => text.slice(0, 60));
  const condition = `event.data.text == ${JSON.stringify(short(1))}`;
  const listening = createFunction(
    {
      id: "listening",
      trigger: [{ event: short(0) }, { event: short(2), if: condition }],
      concurrency: [{ limit: 1, key: "event.data.text" }],
      cancelOn: [{ event: short(1), match: condition }],
      retries: 0,
    },
    async () => {
      throw new Error(all);
    },
  );
  await stage.serveFunctions("hostile", [listening]);
  const endpoint = await server.serve((request, response) => {
    request.resume().once("end", () => response.writeHead(410).end(all));
  });
  const query = encodeURIComponent(`"><script>${RUN}</script>`);
  const url = `${endpoint}/?${query}`;
  await rotor.queues.put("evil", { callbackUrl: url, headers: { "x-evil": plain } });
  await rotor.queues.put("asked", { callbackUrl: url, approvalRequired: true });
  await rotor.schedules.create("evil", { queue: "evil", cron: "@daily", timezone: "UTC", payload: HOSTILE });
  await rotor.jobs.enqueue("evil", { jobId: short(1), payload: all, tags });
  const payload = { [all]: all, nested: HOSTILE };
  const first = await rotor.jobs.enqueue("asked", { jobId: short(0), payload, tags });
  const second = await rotor.jobs.enqueue("asked", { jobId: short(2), payload, tags });
  await rotor.jobs.enqueue("asked", { jobId: short(3), payload: all, tags });
  await rotor.approvals.reject(first.id, { reason: all });
  await rotor.approvals.approve(second.id, { reason: all });
  const { id } = await rotor.send({ name: short(0), id: all.slice(0, 200), data: payload, tags });
  await rotor.send({ name: short(1), data: HOSTILE, tags });
  await rotor.webhooks.create("evil", { url, headers: { "x-evil": plain } });
  await rotor.webhooks.test("evil");
  for (const [index] of HOSTILE.entries()) await rotor.keys.create({ name: short(index), scopes: ["admin"] });
  // Whoever is named so does something, and stands in the audit with it.
  const { key } = await rotor.keys.create({ name: all.slice(0, 120), scopes: ["admin"] });
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  await fetch(`${server.baseUrl}/v1/queues/evil`, { method: "PATCH", headers, body: '{"concurrency":3}' });
  await rotor.secrets.set("__proto__", plain);
  await eventually("the failures", async () => (await rotor.dlq.list({ queue: "evil" }).page()).data.length > 0);
  await eventually(
    "a webhook's",
    async () => (await rotor.webhooks.deliveries("evil", { state: "failed" }).page()).data.length > 0,
  );
  const text = encodeURIComponent(all);
  paths = [
    "/",
    "/queues",
    "/queues/evil",
    `/queues/${encodeURIComponent(all.slice(0, 100))}`,
    "/functions",
    "/functions/listening",
    "/schedules",
    "/events",
    `/events/${encodeURIComponent(id)}`,
    "/approvals",
    "/approvals?status=rejected",
    "/approvals?status=approved",
    "/webhooks",
    "/webhooks/evil",
    "/keys",
    "/secrets",
    "/audit",
    `/queues?q=${text}`,
    `/events?name=${text}&tag=${text}&after=${text}`,
    `/audit?action=${text}&subject=${text}`,
    `/?window=${text}`,
    `/webhooks/evil?state=${text}`,
  ];
}, 240_000);
afterAll(() => stage.close());

for (const [name, options] of [
  ["wide and dark", WIDE],
  ["a phone and light", PHONE],
] as const)
  test(`nothing of it is carried out, ${name}`, { timeout: 300_000 }, async () => {
    for (const path of paths) {
      const sight = await stage.open(path, options);
      await harmless(sight, path);
      await sight.close();
    }
  });

test("an event that is sent again with it is written as a text, and sent as one", async () => {
  const { page, close } = await stage.open(`/events/${encodeURIComponent(all.slice(0, 200))}`);
  await page.getByRole("button", { name: "Send one like it" }).click();
  const dialog = page.locator('[role="dialog"]:not([aria-modal="false"])');
  expect(JSON.parse(await dialog.getByLabel("Data").inputValue())).toEqual({ [all]: all, nested: HOSTILE });
  await dialog.getByRole("button", { name: "Send it" }).click();
  await dialog.waitFor({ state: "hidden" });
  expect(await page.evaluate("window.pwned")).toBeUndefined();
  await close();
});
