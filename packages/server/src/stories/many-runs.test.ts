/** Many runs at once: cancelled and replayed by what a person knows of them, each once whatever happens to who asks. */
import { createFunction, type Run } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const listed = async (filter: Parameters<TestServer["rotor"]["runs"]["list"]>[0]): Promise<readonly Run[]> =>
  (await server.rotor.runs.list({ limit: 100, ...filter }).page()).data;

const reached = (filter: Parameters<TestServer["rotor"]["runs"]["list"]>[0], count: number): Promise<readonly Run[]> =>
  eventually(`${count} runs of ${JSON.stringify(filter)}`, async () => {
    const runs = await listed(filter);
    return runs.length === count ? runs : undefined;
  });

test("unfinished runs are cancelled by function, reason, event and time, and only counted in a dry run", async () => {
  const { rotor } = server;
  const waits = createFunction(
    { id: "waits", trigger: [{ event: "one" }, { event: "two" }] },
    async ({ step, event }) =>
      event.name === "one" ? step.waitForEvent("w", { event: "never", timeout: "1h" }) : step.sleep("s", "1h"),
  );
  const other = createFunction({ id: "other" }, async ({ step }) => step.sleep("s", "1h"));
  await faultyApp(server, "many", [waits, other]);
  await rotor.runs.start(other, {});
  for (const name of ["one", "one", "two", "two", "two"]) await rotor.send({ name, data: {} });
  await reached({ function: "waits", state: "event" }, 2);
  await reached({ function: "waits", state: "sleeping" }, 3);

  const count = async (filter: object) => (await rotor.runs.cancelAll({ filter, dryRun: true })).cancelled;
  expect(await count({ function: "waits" })).toBe(5);
  expect(await count({ function: "waits", state: "event" })).toBe(2);
  expect(await count({ event: "two" })).toBe(3);
  expect(await count({ event: "two", state: "event" })).toBe(0);
  expect(await count({ function: "waits", createdBefore: new Date(Date.now() - 3_600_000) })).toBe(0);
  expect(await count({ function: "waits", createdAfter: new Date(Date.now() - 3_600_000) })).toBe(5);
  expect(await count({ tag: "none" })).toBe(0);

  const { cancelled, ids } = await rotor.runs.cancelAll({ filter: { event: "two", state: "sleeping" } });
  expect([cancelled, ids?.length]).toEqual([3, 3]);
  expect((await listed({ function: "waits", state: "cancelled" })).map((run) => run.id).sort()).toEqual(
    [...ids!].sort(),
  );
  expect(await count({ function: "waits" })).toBe(2);
  expect((await rotor.runs.cancelAll({ ids: [...ids!, (await listed({ state: "event" }))[0]!.id] })).cancelled).toBe(1);
  expect(await listed({ function: "other", state: "sleeping" })).toHaveLength(1);
});

test("ended runs are replayed, and an ask whose answer was lost starts nothing twice", async () => {
  const { rotor } = server;
  let mended = false;
  const fn = createFunction({ id: "mended", retries: 0 }, async ({ event }) => {
    if (!mended) throw new Error("not yet");
    return event.data;
  });
  await faultyApp(server, "mending", [fn]);
  for (const n of [1, 2, 3]) await rotor.runs.start(fn, { n });
  await reached({ function: "mended", state: "failed" }, 3);
  mended = true;
  const filter = { function: "mended", state: "failed" } as const;
  const { replayed, before } = await rotor.runs.replayAll({ filter, dryRun: true });
  expect([replayed, (await listed({ function: "mended" })).length]).toEqual([3, 3]);
  const first = await rotor.runs.replayAll({ filter, before });
  const again = await rotor.runs.replayAll({ filter, before });
  expect([first.replayed, again.ids]).toEqual([3, first.ids]);
  const done = await reached({ function: "mended", state: "completed" }, 3);
  expect(done.map((run) => (run.output as { n: number }).n).sort()).toEqual([1, 2, 3]);
  expect(new Set(done.map((run) => run.replayOf)).size).toBe(3);
  expect(await listed({ function: "mended" })).toHaveLength(6);
});

test("what cannot be meant is refused, and changes nothing", async () => {
  const { rotor } = server;
  const refused = (asked: object, verb: "cancelAll" | "replayAll", message: RegExp) =>
    expect(rotor.runs[verb](asked as never)).rejects.toMatchObject({
      status: 422,
      message: expect.stringMatching(message),
    });
  await refused({ filter: { state: "completed" } }, "cancelAll", /has ended/);
  await refused({ filter: { state: "sleeping" } }, "replayAll", /has not ended/);
  await refused({ filter: {} }, "cancelAll", /confirm.*leaves nothing out/);
  await refused({}, "replayAll", /ids and filter/);
  await refused({ ids: ["x"] }, "cancelAll", /not the id of a run/);
  await refused({ filter: { staet: "failed" } }, "cancelAll", /staet/);
});

test("a run is cancelled with all that it waits for", async () => {
  const { rotor } = server;
  const leaf = createFunction({ id: "leaf" }, async ({ step }) => step.sleep("s", "1h"));
  const middle = createFunction({ id: "middle" }, async ({ step }) =>
    step.invoke("leaf", { workflow: leaf, data: {}, timeout: "1h" }),
  );
  const top = createFunction({ id: "top" }, async ({ step }) =>
    Promise.all([1, 2].map((n) => step.invoke(`middle-${n}`, { workflow: middle, data: {}, timeout: "1h" }))),
  );
  await faultyApp(server, "tree", [top, middle, leaf]);
  const { runId } = await rotor.runs.start(top, {});
  await reached({ function: "leaf", state: "sleeping" }, 2);
  expect(await rotor.runs.cancel(runId, { children: true })).toMatchObject({
    state: "cancelled",
    childrenCancelled: 4,
  });
  expect(await listed({ function: "leaf", state: "cancelled" })).toHaveLength(2);
  // Once more, after a lost answer.
  expect(await rotor.runs.cancel(runId, { children: true })).toMatchObject({ childrenCancelled: 0 });
});
