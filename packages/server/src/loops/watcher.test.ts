import { afterAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { createWebhook, getWebhook, updateWebhook } from "../store/webhooks.js";
import { testDatabase } from "../testing-kit/database.js";
import { callbackQueue, WORKSPACE } from "../testing-kit/fixtures.js";
import { createWatcher } from "./watcher.js";

const database = await testDatabase();
const { db } = database;
afterAll(() => database.close());

const watcher = (held = false) => {
  let told = 0;
  const onError = (error: unknown): void => {
    throw error;
  };
  return { ...createWatcher({ db, held: () => held, onTold: () => told++, onError }), told: () => told };
};

const rows = async (text: string): Promise<unknown[]> => (await db.script(text)).rows;

test("all nodes' counts are one minute's, and where somebody listens they make one alert", async () => {
  const { id } = await callbackQueue(db);
  const [one, other] = [watcher(), watcher()];
  for (let i = 0; i < 20; i++) one.note(id, i % 2 === 0 ? "retry" : "completed", i);
  other.note(id, "completed", 70);
  for (const each of [one, other, one]) expect(await each.tick()).toBe(limits.watchMs);
  const sums = "select sum(ended)::int as ended, sum(failed)::int as failed, max(wait_ms) as waited from rotor.tallies";
  expect(await rows(sums)).toEqual([{ ended: 21, failed: 10, waited: 70 }]);
  expect(await rows("select * from rotor.alerts")).toEqual([]);
  await db.script("delete from rotor.tallies");

  const url = "http://127.0.0.1:9/";
  await createWebhook(db, WORKSPACE, "ear", url);
  const webhook = await getWebhook(db, WORKSPACE, "ear");
  await updateWebhook(db, webhook!, { url, headers: {}, types: ["queue.failing"] });
  for (let i = 0; i < limits.failingDeliveries / 2; i++) {
    one.note(id, "retry", 0);
    other.note(id, "failed", 0);
    // A job that is given back says nothing of its endpoint.
    other.note(id, "released", 0);
  }
  await one.tick();
  expect(one.told()).toBe(0);
  await other.tick();
  await one.tick();
  expect([one.told(), other.told()]).toEqual([0, 1]);
  expect(await rows("select type, subject from rotor.alerts where type = 'queue.failing'")).toEqual([
    { type: "queue.failing", subject: "callback/queue" },
  ]);
});

test("a held server tells nothing", async () => {
  await db.script("delete from rotor.alerts");
  const held = watcher(true);
  expect(await held.tick()).toBe(limits.watchMs);
  expect(await rows("select * from rotor.alerts")).toEqual([]);
});
