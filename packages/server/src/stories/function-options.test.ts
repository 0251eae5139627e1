/** What a function says of its runs, as `createFunction` takes it and a whole server does it: limits, time and failure. */
import { createFunction, NonRetriableError } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
let ahead = 0;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const result = (runId: string) => server.rotor.runs.result(runId, { timeout: "20s" });
const forward = (ms: number): Promise<void> => {
  ahead += ms;
  return server.shiftClock(ahead);
};

/** Counts how many of its runs are in their step at one time, in all and for each account. */
function gauge() {
  const now = new Map<string, number>();
  const most = new Map<string, number>();
  const move = (name: string, by: number): void => {
    const count = (now.get(name) ?? 0) + by;
    now.set(name, count);
    most.set(name, Math.max(most.get(name) ?? 0, count));
  };
  const within = async (...names: string[]): Promise<void> => {
    for (const name of names) move(name, 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (const name of names) move(name, -1);
  };
  return { within, most };
}

test("two keys limit how many runs of each value are executed at a time, beside the limit for all", async () => {
  const { within, most } = gauge();
  const keyed = createFunction(
    {
      id: "keyed",
      trigger: { event: "keyed.go" },
      concurrency: [
        { limit: 2, key: "data.account" },
        { limit: 1, key: "data.region" },
      ],
    },
    async ({ event, step }) => {
      const { account, region } = event.data;
      await step.run("work", () => within("all", `account ${account}`, `region ${region}`));
    },
  );
  await faultyApp(server, "keyed", [keyed]);
  const sent = await server.rotor.send(
    Array.from({ length: 24 }, (_, n) => ({ name: "keyed.go", data: { account: n % 2, region: n % 8 } })),
  );
  await Promise.all(sent.map(({ runs }) => result(runs[0]!)));
  for (const account of [0, 1]) expect(most.get(`account ${account}`)).toBeLessThanOrEqual(2);
  for (let region = 0; region < 8; region++) expect(most.get(`region ${region}`)).toBe(1);
  expect(most.get("all")).toBeGreaterThan(1);
});

test("a singleton that waits lets the next run begin when the one before has ended, asleep or not", async () => {
  const begun: number[] = [];
  const single = createFunction(
    { id: "single", trigger: { event: "single.go" }, singleton: { key: "data.account", mode: "wait" } },
    async ({ event, step }) => {
      await step.run("begin", () => void begun.push(event.data.n));
      await step.waitForEvent("end", { event: "single.end", match: { n: event.data.n }, timeout: "1h" });
    },
  );
  await faultyApp(server, "single", [single]);
  const ids: string[] = [];
  for (const n of [1, 2, 3])
    ids.push((await server.rotor.send({ name: "single.go", data: { account: "a", n } })).runs[0]!);
  for (const [index, id] of ids.entries()) {
    await eventually("the run to wait", async () => (await server.rotor.runs.get(id)).reason === "event");
    expect(begun).toEqual([1, 2, 3].slice(0, index + 1));
    await server.rotor.send({ name: "single.end", data: { n: index + 1 } });
    await result(id);
  }
});

test("a rate limit delays the runs that begin, and not what has begun", async () => {
  const begun: number[] = [];
  const rated = createFunction(
    { id: "rated", trigger: { event: "rated.go" }, rateLimit: { limit: 2, period: "1h" } },
    async ({ event, step }) => {
      await step.run("begin", () => void begun.push(event.data.n));
      await step.sleep("short", "10ms");
      await step.run("end", () => null);
    },
  );
  await faultyApp(server, "rated", [rated]);
  const sent = await server.rotor.send([1, 2, 3].map((n) => ({ name: "rated.go", data: { n } })));
  await Promise.all(sent.slice(0, 2).map(({ runs }) => result(runs[0]!)));
  const last = sent[2]!.runs[0]!;
  await eventually(
    "the third to be told why",
    async () => (await server.rotor.runs.get(last)).reason === "rate_limited",
  );
  expect(begun).toEqual([1, 2]);
  // A rate counts by parts of its period: the last of them may count a little longer.
  await forward(4_100_000);
  await result(last);
  expect(begun).toEqual([1, 2, 3]);
});

test("a run that is not over within its function's timeout fails, and onFailure is told", async () => {
  const told: unknown[] = [];
  const slow = createFunction(
    {
      id: "slow",
      trigger: { event: "slow.go" },
      timeout: "1h",
      onFailure: async ({ error, event, runId, failedStep, ownRunId, step }) => {
        await step.run(
          "tell",
          () => void told.push({ name: error.name, data: event.data, runId, failedStep, ownRunId }),
        );
      },
    },
    async ({ step }) => step.sleep("long", "2h"),
  );
  await faultyApp(server, "slow", [slow]);
  const runId = (await server.rotor.send({ name: "slow.go", data: { n: 1 } })).runs[0]!;
  await eventually("the run to sleep", async () => (await server.rotor.runs.get(runId)).reason === "sleeping");
  await forward(3_610_000);
  await expect(result(runId)).rejects.toThrow(/1h/);
  const own = await eventually("the failure to be told", () => told[0] as { ownRunId: string } | undefined);
  expect(told).toEqual([
    {
      name: "RunTimeoutError",
      data: { n: 1 },
      runId,
      failedStep: null,
      ownRunId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    },
  ]);
  await result(own.ownRunId);
});

test("onFailure is told which step failed, and the run's page names the run that was", async () => {
  const told: unknown[] = [];
  const broken = createFunction(
    {
      id: "broken",
      onFailure: async ({ error, failedStep }) =>
        void told.push([failedStep, error.name, (error.cause as Error)?.message]),
    },
    async ({ step }) => {
      await step.run("fine", () => 1);
      await step.run("charge", () => {
        throw new NonRetriableError("card declined");
      });
    },
  );
  await faultyApp(server, "broken", [broken]);
  const { runId } = await server.rotor.runs.start(broken, {});
  await expect(result(runId)).rejects.toThrow();
  await eventually("the failure to be told", () => told.length > 0);
  expect(told).toEqual([["charge", "StepError", "card declined"]]);
  expect((await server.rotor.runs.get(runId)).failureRunId).toMatch(/^[0-9a-f-]{36}$/);
});
