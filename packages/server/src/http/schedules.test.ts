/** Schedules through the SDK's client. What is sent is taken; what is answered is what it says that it is. */
import type { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Send, TestApi } from "./testing-kit/api.js";
import { CALLBACK, clientApi } from "./testing-kit/client.js";

let api: TestApi;
let send: Send;
let rotor: Rotor;

beforeAll(async () => {
  ({ api, send, rotor } = await clientApi());
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

describe("a schedule", () => {
  test("is made, changed, paused, fired and deleted, and says when it fires next", async () => {
    await rotor.queues.put("clocked", { callbackUrl: CALLBACK });
    const made = await rotor.schedules.create("nightly", {
      queue: "clocked",
      cron: "0 3 * * *",
      timezone: "UTC",
      payload: { n: 1 },
    });
    expect(made).toMatchObject({
      queue: "clocked",
      function: null,
      payload: { n: 1 },
      owned: false,
      overlap: "allow",
      catchUp: "last",
      lastJobId: null,
      skipped: { count: 0, lastAt: null },
      missed: { count: 0, lastAt: null },
    });
    expect(made.nextFires).toHaveLength(5);
    expect(made.nextFires.every((fire) => fire.endsWith("T03:00:00.000Z"))).toBe(true);
    await expect(
      rotor.schedules.create("nightly", { queue: "clocked", cron: "@daily", timezone: "UTC" }),
    ).rejects.toMatchObject({ status: 409 });
    expect(
      await rotor.schedules.put("nightly", { function: "plain", cron: "@hourly", timezone: "Europe/Stockholm" }),
    ).toMatchObject({ queue: null, function: "plain", payload: null });
    expect((await send("PATCH", "/v1/schedules/nightly", { queue: "clocked", payload: [1] })).json).toMatchObject({
      queue: "clocked",
      cron: "@hourly",
      payload: [1],
    });
    const { id } = await rotor.schedules.run("nightly");
    expect(await rotor.jobs.get("clocked", id)).toMatchObject({ payload: [1], jobId: null });
    expect(await rotor.schedules.pause("nightly")).toMatchObject({ pausedAt: expect.any(String), nextFires: [] });
    expect((await rotor.schedules.resume("nightly")).nextFires).toHaveLength(5);
    await rotor.schedules.delete("nightly");
    await expect(rotor.schedules.get("nightly")).rejects.toMatchObject({ status: 404 });
  });

  test("that a function's trigger made goes with it", async () => {
    const [owned] = (await rotor.schedules.list().page()).data;
    expect(owned).toMatchObject({ name: "rotor:outreach", function: "outreach", owned: true });
    await expect(rotor.schedules.delete("rotor:outreach")).rejects.toMatchObject({ status: 409 });
    expect((await send("PATCH", "/v1/schedules/rotor:outreach", { cron: "@daily" })).status).toBe(409);
  });

  test("keeps what a change leaves out, and loses what a put leaves out", async () => {
    await rotor.queues.put("clocked", { callbackUrl: CALLBACK });
    const options = { queue: "clocked", cron: "0 3 * * *", timezone: "Asia/Kolkata", payload: { big: 1 } };
    await rotor.schedules.put("policies", { ...options, overlap: "skip", catchUp: "all" });
    expect(await rotor.schedules.update("policies", { catchUp: "none" })).toMatchObject({
      queue: "clocked",
      cron: "0 3 * * *",
      timezone: "Asia/Kolkata",
      payload: { big: 1 },
      overlap: "skip",
      catchUp: "none",
    });
    expect(await rotor.schedules.update("policies", { function: "plain" })).toMatchObject({
      queue: null,
      function: "plain",
      overlap: "skip",
    });
    expect(await rotor.schedules.put("policies", { queue: "clocked", cron: "@daily", timezone: "UTC" })).toMatchObject({
      payload: null,
      overlap: "allow",
      catchUp: "last",
    });
    await expect(rotor.schedules.update("unknown", { cron: "@daily" })).rejects.toMatchObject({ status: 404 });
    await expect(rotor.schedules.update("policies", { cron: "never" })).rejects.toMatchObject({ status: 422 });
    await expect(rotor.schedules.update("policies", { queue: "unknown" })).rejects.toMatchObject({ status: 422 });
    await rotor.schedules.delete("policies");
    await expect(rotor.schedules.delete("policies")).rejects.toMatchObject({ status: 404 });
  });

  test("that is not paused is not moved by going on, and one that is paused can be changed", async () => {
    await rotor.queues.put("clocked", { callbackUrl: CALLBACK });
    const made = await rotor.schedules.create("going", { queue: "clocked", cron: "@hourly", timezone: "UTC" });
    expect((await rotor.schedules.resume("going")).nextFires).toEqual(made.nextFires);
    await rotor.schedules.pause("going");
    expect(await rotor.schedules.update("going", { cron: "@daily" })).toMatchObject({ cron: "@daily", nextFires: [] });
    expect((await rotor.schedules.resume("going")).nextFires[0]).toMatch(/T00:00:00.000Z$/);
  });

  test.each<[string, string]>([
    ["* * * *", "UTC"],
    ["* * * * * * *", "UTC"],
    ["60 * * * *", "UTC"],
    ["*/0 * * * *", "UTC"],
    ["0 0 30 2 *", "UTC"],
    ["", "UTC"],
    ["@never", "UTC"],
    [`0 9 * * ${"1,".repeat(200)}1`, "UTC"],
    ["0 9 * * *", ""],
    ["0 9 * * *", "+05:30"],
    ["0 9 * * *", "Mars/Base"],
    ["0 9 * * *", "../../etc/passwd"],
  ])("of %j in %j is refused, and not there", async (cron, timezone) => {
    await rotor.queues.put("clocked");
    expect((await send("POST", "/v1/schedules", { name: "bad", queue: "clocked", cron, timezone })).status).toBe(422);
    expect((await send("GET", "/v1/schedules/bad")).status).toBe(404);
  });

  test("with no target, two, or an unknown one is refused", async () => {
    const cron = { name: "bad", cron: "@daily", timezone: "UTC" };
    for (const target of [
      {},
      { queue: "clocked", function: "plain" },
      { queue: "unknown" },
      { function: "unknown" },
      { queue: "clocked", overlap: "queue" },
      { queue: "clocked", catch_up: "some" },
      { queue: "clocked", tags: ["a"] },
    ]) {
      expect((await send("POST", "/v1/schedules", { ...cron, ...target })).status).toBe(422);
    }
  });
});
