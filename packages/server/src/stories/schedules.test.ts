/** Schedules against a real endpoint, by a whole server; the clock is put on rather than waited for. */

import type { IncomingHttpHeaders, RequestListener } from "node:http";
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

const HOUR_MS = 3_600_000;
type Got = { readonly path: string; readonly body: string; readonly headers: IncomingHttpHeaders };

let server: TestServer;
let url: string;
const got: Got[] = [];
let aheadMs = 0;

const endpoint: RequestListener = (request, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (chunk: string) => {
    body += chunk;
  });
  request.on("end", () => {
    got.push({ path: request.url!, body, headers: request.headers });
    // `/slow` reports back much later.
    if (request.url === "/slow") response.setHeader("x-rotor-async", "true").writeHead(202).end();
    else response.end("{}");
  });
};
const putOn = async (ms: number): Promise<void> => {
  aheadMs += ms;
  await server.shiftClock(aheadMs);
};
const arrived = (path: string, count = 1): Promise<Got[]> =>
  eventually(`${count} on ${path}`, () => {
    const those = got.filter((each) => each.path === path);
    return those.length >= count && those;
  });

beforeAll(async () => {
  server = await testServer();
  url = await server.serve(endpoint);
});
afterAll(() => server.close());

test("at its time a schedule posts its payload, with the time that was meant", async () => {
  const { rotor } = server;
  await rotor.queues.create("hourly", { callbackUrl: `${url}/hourly` });
  const options = { queue: "hourly", cron: "@hourly", timezone: "UTC", payload: { report: "sales" } };
  const { nextFires } = await rotor.schedules.create("hourly", options);
  await putOn(HOUR_MS);
  const [request] = await arrived("/hourly");
  expect(request).toMatchObject({ body: '{"report":"sales"}' });
  expect(new Date(request!.headers["x-rotor-scheduled-at"] as string)).toEqual(new Date(nextFires[0]!));
  const after = await rotor.schedules.get("hourly");
  expect(after).toMatchObject({ lastAt: nextFires[0], lastJobId: request!.headers["x-rotor-job-id"] });
  const { id } = await rotor.schedules.run("hourly");
  expect((await arrived("/hourly", 2))[1]!.headers["x-rotor-job-id"]).toBe(id);
  expect((await rotor.schedules.get("hourly")).lastJobId).toBe(after.lastJobId);
  await rotor.schedules.delete("hourly");
});

test("a tick is skipped while the job before is at work, and that is shown", async () => {
  const { rotor } = server;
  await rotor.queues.create("slow", { callbackUrl: `${url}/slow`, asyncTimeout: "7d" });
  await rotor.schedules.create("slow", { queue: "slow", cron: "@hourly", timezone: "UTC", overlap: "skip" });
  await putOn(HOUR_MS);
  await arrived("/slow");
  await putOn(HOUR_MS);
  const skipping = await eventually("a skipped tick", async () => {
    const schedule = await rotor.schedules.get("slow");
    return schedule.skipped.count > 0 && schedule;
  });
  expect(skipping.skipped).toEqual({ count: 1, lastAt: expect.stringMatching(/:00:00\.000Z$/) });
  expect(got.filter(({ path }) => path === "/slow")).toHaveLength(1);
  await rotor.schedules.delete("slow");
});

test("after an outage each missed tick is made where all are asked for, and one where the last is", async () => {
  const { rotor } = server;
  for (const catchUp of ["all", "last"] as const) {
    await rotor.queues.create(catchUp, { callbackUrl: `${url}/${catchUp}` });
    await rotor.schedules.create(catchUp, { queue: catchUp, cron: "30 * * * *", timezone: "UTC", catchUp });
  }
  const before = await rotor.schedules.get("all");
  await putOn(3 * HOUR_MS);
  const all = await arrived("/all", 3);
  const times = all.map(({ headers }) => new Date(headers["x-rotor-scheduled-at"] as string).toISOString()).sort();
  expect(times).toEqual(before.nextFires.slice(0, 3));
  const [last] = await arrived("/last");
  expect(new Date(last!.headers["x-rotor-scheduled-at"] as string).toISOString()).toBe(before.nextFires[2]);
  expect(await rotor.schedules.get("last")).toMatchObject({ missed: { count: 2, lastAt: before.nextFires[1] } });
  for (const name of ["all", "last"]) await rotor.schedules.delete(name);
});

test("a schedule starts a function's run, whose event says when", async () => {
  const { rotor } = server;
  const events: unknown[] = [];
  const fn = createFunction({ id: "ticked" }, async ({ event }) => {
    events.push(event);
    return event.data.report;
  });
  await faultyApp(server, "ticking", [fn]);
  const options = { function: "ticked", cron: "@hourly", timezone: "UTC", payload: { report: "sales" } };
  const { nextFires } = await rotor.schedules.create("ticking", options);
  await putOn(HOUR_MS);
  const runId = await eventually("a run", async () => (await rotor.schedules.get("ticking")).lastJobId ?? false);
  expect(await rotor.runs.result(runId, { timeout: "20s" })).toBe("sales");
  expect(events[0]).toMatchObject({ name: "rotor/schedule.ticked", ts: Date.parse(nextFires[0]!) });
});

test("a schedule that is paused, resumed and changed a hundred times in its seconds makes no tick twice", async () => {
  const { rotor } = server;
  await rotor.queues.create("busy", { callbackUrl: `${url}/busy` });
  await rotor.schedules.create("busy", { queue: "busy", cron: "* * * * * *", timezone: "UTC" });
  const ways = [
    () => rotor.schedules.pause("busy"),
    () => rotor.schedules.resume("busy"),
    () => rotor.schedules.update("busy", { cron: "*/1 * * * * *" }),
    () => rotor.schedules.update("busy", { cron: "* * * * * *", timezone: "Europe/Stockholm" }),
  ];
  for (let n = 0; n < 100; n++) await ways[n % ways.length]!();
  await arrived("/busy", 2);
  await rotor.schedules.delete("busy");
  const times = got.filter(({ path }) => path === "/busy").map(({ headers }) => headers["x-rotor-scheduled-at"]);
  expect(new Set(times).size).toBe(times.length);
});
