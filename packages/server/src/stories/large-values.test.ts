/** Results that are large, alone or together, between an app and a server that a proxy stands between. */
import { createFunction, type RotorFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { standing } from "./testing-kit/changing-app.js";
import { type ProxiedApp, proxiedApp } from "./testing-kit/strict-proxy.js";

let server: TestServer;
const proxies: ProxiedApp[] = [];
beforeAll(async () => {
  server = await testServer();
});
afterAll(async () => {
  for (const proxy of proxies) await proxy.close();
  await server.close();
});

/** What common platforms let through. */
const PROXY_BYTES = 4_500_000;
const MB = 1_000_000;

const behindProxy = async (app: string, functions: readonly RotorFunction[]): Promise<ProxiedApp> => {
  const proxy = await proxiedApp(server, app, functions, PROXY_BYTES);
  proxies.push(proxy);
  return proxy;
};
const text = (bytes: number, fill = "x"): string => fill.repeat(bytes);
const result = (runId: string) => server.rotor.runs.result(runId, { timeout: "50s" });

test("a run with six megabytes of results, one after the other and at the same time, sleeps, wakes and finishes", async () => {
  const ran: string[] = [];
  const fn = createFunction({ id: "six" }, async ({ step }) => {
    const one = (id: string, bytes: number) =>
      step.run(id, () => {
        ran.push(id);
        return text(bytes, id.at(-1));
      });
    const first = await one("a1", 2 * MB);
    const both = await Promise.all([one("b2", 1.5 * MB), one("b3", MB), one("b4", 1.5 * MB)]);
    await step.sleep("pause", "1h");
    const all = [first, ...both];
    return all.map((each) => [each.length, each[0]]);
  });
  const proxy = await behindProxy("six", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await standing(server, runId, "sleeping");
  await server.shiftClock(3_600_000);
  expect(await result(runId)).toEqual([
    [2 * MB, "1"],
    [1.5 * MB, "2"],
    [MB, "3"],
    [1.5 * MB, "4"],
  ]);
  expect(ran.toSorted()).toEqual(["a1", "b2", "b3", "b4"]);
  expect(proxy.refused).toEqual([]);
  // The body itself stays small; what does not fit in it comes by pages.
  const deliveries = proxy.passages.filter(({ what, method }) => what === "delivery" && method === "POST");
  expect(Math.max(...deliveries.map(({ bytes }) => bytes))).toBeLessThan(limits.deliveryBytes + 2_000);
  expect(proxy.passages.filter(({ path, what }) => path.endsWith("/steps") && what === "reply").length).toBeGreaterThan(
    2,
  );
});

test("the largest result that a step may have goes through the same proxy, and comes back", async () => {
  const fn = createFunction({ id: "largest" }, async ({ step }) => {
    const one = await step.run("one", () => text(limits.stepOutputBytes - 2));
    await step.sleep("pause", "1ms");
    return one.length;
  });
  const proxy = await behindProxy("largest", [fn]);
  expect(await result((await server.rotor.runs.start(fn, {})).runId)).toBe(limits.stepOutputBytes - 2);
  expect(proxy.refused).toEqual([]);
});

test("large results that end while a run is in hand are told a part at a time, each of them", async () => {
  const child = createFunction({ id: "child" }, async ({ event }) => text(MB - 100, event.data));
  const parent = createFunction({ id: "parent" }, async ({ step }) => {
    const [, ...got] = await Promise.all([
      // Keeps the delivery alive until all have ended.
      step.run("busy", async () => {
        await eventually("the children's ends", async () => {
          const { rows } = await server.db.script(
            "select 1 from rotor.steps where kind = 'invoke' and state = 'completed'",
          );
          return rows.length >= 8;
        });
      }),
      ...Array.from({ length: 8 }, (_, n) =>
        step.invoke<string>(`child-${n}`, { workflow: "child", data: String(n), timeout: "5m" }),
      ),
    ]);
    return (got as { result: string }[]).map(({ result }) => [result.length, result[0]]);
  });
  const proxy = await behindProxy("family", [child, parent] as RotorFunction[]);
  const { runId } = await server.rotor.runs.start(parent, {});
  expect(await result(runId)).toEqual(Array.from({ length: 8 }, (_, n) => [MB - 100, String(n)]));
  expect(proxy.refused).toEqual([]);
});

test("a result that is too large fails its step at once, and says what to do instead", async () => {
  const fn = createFunction({ id: "too-large", retries: 3 }, async ({ step }) => {
    try {
      return await step.run("big", () => text(limits.stepOutputBytes));
    } catch (error) {
      return [(error as Error).name, (error as Error).message];
    }
  });
  await behindProxy("too-large", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  const [name, message] = await result(runId);
  expect(name).toBe("StepError");
  expect(message).toContain("larger than 4 MiB: store it elsewhere and hand on a reference to it");
  expect((await server.rotor.runs.get(runId)).steps).toMatchObject([{ key: "big", state: "failed", attempt: 1 }]);
});

test("a run whose own result is too large fails, and says what to do instead", async () => {
  const fn = createFunction({ id: "large-end", retries: 3 }, async () => text(limits.runOutputBytes));
  await behindProxy("large-end", [fn]);
  await expect(result((await server.rotor.runs.start(fn, {})).runId)).rejects.toMatchObject({
    cause: { message: expect.stringContaining("larger than 1 MiB: store it elsewhere") },
  });
});

test("where the app refuses a delivery's body as too large, its run is held and names its largest steps", async () => {
  const ran: string[] = [];
  const fn = createFunction({ id: "refused", retries: 0 }, async ({ step }) => {
    for (const [id, bytes] of [
      ["s", 10],
      ["m", 100_000],
      ["l", 200_000],
      ["xl", 300_000],
    ] as const) {
      await step.run(id, () => {
        ran.push(id);
        return text(bytes);
      });
    }
    await step.waitForEvent("w", { event: "go-refused", timeout: "1d" });
    return "ended";
  });
  const proxy = await behindProxy("refused", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await standing(server, runId, "event");
  proxy.limitDeliveries(500_000);
  await server.rotor.send({ name: "go-refused", data: {} });
  const held = await standing(server, runId, "held");
  expect(held.error).toMatchObject({
    name: "BodyTooLargeError",
    message: expect.stringContaining("Its largest steps: xl (300002 bytes), l (200002 bytes), m (100002 bytes)."),
  });
  // Another run of the app, whose body is small, is not concerned.
  const { runId: small } = await server.rotor.runs.start("refused", {});
  await standing(server, small, "event");
  ran.length = 0;
  proxy.limitDeliveries(PROXY_BYTES);
  await server.rotor.runs.resume(runId);
  expect(await result(runId)).toBe("ended");
  expect(ran).toEqual([]);
  await server.rotor.runs.cancel(small);
});
