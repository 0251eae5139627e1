/** Events of a later time, through each door; and tags, by which events are found. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const HOUR = 3_600_000;

test("an event with a later ts starts its run then, and is seen to come, from the client, a step, a batch and the inbox", async () => {
  const remind = createFunction({ id: "remind", trigger: { event: "remind" } }, async ({ event }) => event.data.n);
  const sender = createFunction({ id: "sender" }, async ({ step }) =>
    step.sendEvent("tell", { name: "remind", data: { n: 2 }, ts: Date.now() + HOUR, tags: ["eu", "step"] }),
  );
  await faultyApp(server, "reminders", [remind, sender]);
  const ts = Date.now() + HOUR;
  const { runId } = await server.rotor.runs.start(sender, {});
  expect(await server.rotor.runs.result(runId)).toMatchObject({ events: [{ runs: [] }] });
  const sent = await server.rotor.send({ name: "remind", data: { n: 1 }, ts, tags: ["eu"] });
  expect(sent).toEqual({ id: sent.id, runs: [], duplicate: false, dueAt: new Date(ts).toISOString() });
  await server.rotor.send([
    { name: "remind", data: { n: 3 }, ts },
    { name: "nobody.waits", ts },
  ]);
  await server.db.script(
    `insert into rotor.inbox (kind, target, id, payload, options) values ('event', 'remind', 'row', '{"n":4}', '{"ts":${ts},"tags":["eu"]}')`,
  );
  await eventually("the row", () => server.rotor.events.get("row").catch(() => undefined));
  expect(await server.rotor.events.get(sent.id)).toMatchObject({
    receivedAt: null,
    dueAt: new Date(ts).toISOString(),
    started: [],
    tags: ["eu"],
  });
  expect((await server.rotor.runs.list({ function: "remind" }).page()).data).toEqual([]);
  const tagged = async (tag: string) => (await server.rotor.events.list({ tag }).page()).data.map(({ data }) => data.n);
  expect((await tagged("eu")).toSorted()).toEqual([1, 2, 4]);
  expect(await tagged("step")).toEqual([2]);
  try {
    await server.shiftClock(HOUR + 5_000);
    const runs = await eventually("the runs", async () => {
      const { data } = await server.rotor.runs.list({ function: "remind", state: "completed" }).page();
      return data.length === 4 && data;
    });
    expect(runs.map((run) => run.output).toSorted()).toEqual([1, 2, 3, 4]);
    const event = await server.rotor.events.get(sent.id);
    expect([event.dueAt, event.started?.length, Date.parse(event.receivedAt!) >= ts]).toEqual([null, 1, true]);
  } finally {
    await server.shiftClock(0);
  }
});

test.each([
  [{ name: "far", ts: Date.now() + 400 * 24 * HOUR }, /^ts: .*366 days ahead/],
  [[{ name: "fine" }, { name: "far", ts: Date.now() + 400 * 24 * HOUR }], /^1\.ts: .*366 days ahead/],
  [{ name: "tagged", tags: ["x".repeat(65)] }, /^tags/],
  [{ name: "tagged", tags: Array.from({ length: 11 }, (_, n) => `t${n}`) }, /^tags/],
])("what no event can be is refused, and nothing is stored: %#", async (body, message) => {
  const answer = await fetch(`${server.baseUrl}/v1/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const { error } = (await answer.json()) as { error: { message: string } };
  expect([answer.status, error.message]).toEqual([422, expect.stringMatching(message)]);
  expect((await server.rotor.events.list({ name: "fine" }).page()).data).toEqual([]);
});
