/** What the overview is told: counts that are right while they are small, what is wrong, and since when. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { registerNode } from "../store/nodes.js";
import { getQueue } from "../store/queues.js";
import { writeTallies } from "../store/tallies.js";
import { createApp } from "./app.js";
import { createApiKey } from "./auth.js";
import { APP, CALLBACK, type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";

let kit: ClientApi;
let key: string;
beforeAll(async () => {
  kit = await clientApi();
  ({ key } = await createApiKey(kit.api.database.db, "default", "looker", ["read"]));
  await registerNode(kit.api.database.db, "0197f2d0-1c5e-7b6e-9d2e-2f3a4b5c6d7e", "one");
});
afterAll(async () => {
  expect(kit.api.logged).toEqual([]);
  await kit.api.close();
});

/** Of an app of its own, which has not looked before. */
async function look(query = "", asked = key) {
  const response = await createApp(kit.api.engine).request(`http://rotor.test/v1/stats${query}`, {
    headers: { authorization: `Bearer ${asked}` },
  });
  expect(response.status).toBe(200);
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what is tested
  return (await response.json()) as any;
}

const exactly = (count: number) => ({ count, exact: true });

test("a new workspace is well, and its series is a line of nothing", async () => {
  const { key: others } = await createApiKey(kit.api.database.db, "other", "looker", ["read"]);
  const stats = await look("", others);
  expect(stats).toMatchObject({ status: "ok", problems: [], queues: [], held: false, window: "1h" });
  expect(stats.totals).toMatchObject({ due: exactly(0), failed: exactly(0), ended: 0, failures: 0 });
  expect(stats.series.ended).toHaveLength(60);
  expect(new Set(stats.series.ended)).toEqual(new Set([0]));
  expect(stats.series.wait_ms[0]).toBeNull();
  expect(stats.nodes).toMatchObject([{ label: "one", alive: true }]);
});

test("jobs are counted by what they wait for, of each queue and in all", async () => {
  const { rotor, claimed, api } = kit;
  await rotor.queues.put("mail", { callbackUrl: CALLBACK, concurrency: 2 });
  await rotor.queues.put("asked", { callbackUrl: CALLBACK, approvalRequired: true });
  for (let n = 0; n < 3; n++) await rotor.jobs.enqueue("mail", { payload: n });
  const [active, failing, other] = await claimed("callback", "mail");
  expect(other).toBeUndefined();
  await api.anonymous("POST", `/v1/jobs/${failing!.jobId}/fail?token=${tokenOf(failing!, "complete")}`, {
    error: { name: "HttpError", message: "no" },
    retriable: false,
  });
  await rotor.jobs.enqueue("mail", { payload: 4, delay: "1h" });
  await rotor.jobs.enqueue("asked", { payload: 1 });
  const stats = await look();
  expect(stats.queues.find((queue: { name: string }) => queue.name === "mail")).toMatchObject({
    kind: "callback",
    due: exactly(1),
    waiting: exactly(2),
    active: exactly(1),
    failed: exactly(1),
    blocked: exactly(0),
    oldest_due_at: expect.any(String),
    concurrency: 2,
  });
  expect(stats.totals).toMatchObject({
    due: exactly(1),
    active: exactly(1),
    failed: exactly(1),
    pending_approval: exactly(1),
    held: exactly(0),
  });
  expect(stats.queues.map((queue: { name: string }) => queue.name)).toEqual(["asked", "mail", "outreach", "plain"]);
  expect(active).toBeDefined();
});

test("deliveries are drawn by the minute, and of a failing queue it is said since when", async () => {
  const { db } = kit.api.database;
  const queue = await getQueue(db, "default", "callback", "mail");
  await writeTallies(db, [{ queueId: queue!.id, ended: 20, failed: 12, waitMs: 340 }]);
  // A minute may have begun since they were written.
  const recent = (series: (number | null)[]): number => Math.max(...series.slice(-2).map((each) => each ?? 0));
  for (const [window, parts] of [
    ["1h", 60],
    ["6h", 72],
    ["24h", 96],
  ] as const) {
    const { series, totals } = await look(`?window=${window}`);
    expect([series.ended.length, recent(series.ended), recent(series.failures), recent(series.wait_ms)]).toEqual([
      parts,
      20,
      12,
      340,
    ]);
    expect([totals.ended, totals.failures]).toEqual([20, 12]);
    expect(Date.parse(series.from) % (series.step_s * 1_000)).toBe(0);
  }
  const stats = await look();
  expect(stats.problems).toMatchObject([{ type: "queue.failing", subject: "mail", kind: "callback" }]);
  expect(stats.queues.find((each: { name: string }) => each.name === "mail").failing_since).toBe(
    stats.problems[0].since,
  );
});

test("what is late, away or missed is told, the worst first", async () => {
  const { rotor, api } = kit;
  await rotor.schedules.create("tick", { queue: "mail", cron: "* * * * *", timezone: "UTC" });
  await api.database.db.script(`update rotor.apps set unreachable_since = rotor.clock() where url = '${APP}'`);
  await api.database.shiftClock(limits.queueLateMs + limits.scheduleMissedMs + 60_000);
  const { status, problems } = await look();
  expect(status).toBe("trouble");
  expect(problems.map(({ type, subject }: { type: string; subject: string }) => `${type} ${subject}`)).toEqual([
    "nodes.none null",
    "app.unreachable default",
    "queue.late mail",
    "schedule.missed tick",
  ]);
  await api.database.shiftClock(0);
});

describe("many who look at once", () => {
  test("are told of one look", async () => {
    const app = createApp(kit.api.engine);
    const ask = async () => {
      const answer = await app.request("http://rotor.test/v1/stats", { headers: { authorization: `Bearer ${key}` } });
      return ((await answer.json()) as { at: string }).at;
    };
    const told = await Promise.all(Array.from({ length: 20 }, ask));
    expect(new Set([...told, await ask()]).size).toBe(1);
  });

  test("are told of a new one where that look failed", async () => {
    const { engine } = kit.api;
    let broken = true;
    const db = {
      ...engine.db,
      query: (statement: { name: string }, values: never) =>
        broken && statement.name === "stats.counts"
          ? Promise.reject(new Error("broken"))
          : engine.db.query(statement as never, values),
    } as typeof engine.db;
    const app = createApp({ ...engine, db }, { log: { error: () => undefined } });
    const ask = () => app.request("http://rotor.test/v1/stats", { headers: { authorization: `Bearer ${key}` } });
    expect((await ask()).status).toBe(500);
    broken = false;
    expect((await ask()).status).toBe(200);
  });
});
