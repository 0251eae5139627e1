import { afterAll, beforeAll, expect, test } from "vitest";
import type { Db } from "../store/db.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { eventually } from "../testing-kit/server.js";
import { createWaker, type Waker } from "./waker.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

type Heard = Waker & { readonly wakes: () => number; readonly errors: unknown[] };

async function started(db: Db = database.db, nodes = 2): Promise<Heard> {
  let wakes = 0;
  const errors: unknown[] = [];
  const waker = createWaker({
    db,
    nodes: () => nodes,
    onWake: () => wakes++,
    onError: (error) => errors.push(error),
  });
  await waker.start();
  return {
    start: waker.start,
    tell: waker.tell,
    stop: waker.stop,
    get connected() {
      return waker.connected;
    },
    wakes: () => wakes,
    errors,
  };
}

const cutListeners = () =>
  database.db.script(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where pid <> pg_backend_pid() and query ilike 'listen "${database.schema}_wake"'`,
  );

test("one node wakes another; many tellings become few", async () => {
  const [one, other] = [await started(), await started()];
  const before = other.wakes();
  for (let n = 0; n < 100; n++) one.tell();
  await eventually("a wake", () => other.wakes() > before);
  expect(other.wakes() - before).toBe(1);
  await Promise.all([one.stop(), other.stop()]);
});

test("a node that is alone tells nobody", async () => {
  const [alone, other] = [await started(database.db, 1), await started()];
  const before = other.wakes();
  alone.tell();
  other.tell();
  await eventually("its own telling", () => other.wakes() > before);
  expect(other.wakes() - before).toBe(1);
  await Promise.all([alone.stop(), other.stop()]);
});

test("a listener that is lost comes back, also when the first tries fail", async () => {
  let refusals = 0;
  let away = false;
  const db: Db = {
    ...database.db,
    async connect() {
      if (away && ++refusals <= 2) throw new Error("the database is away");
      return database.db.connect();
    },
  };
  const [one, other] = [await started(), await started(db)];
  away = true;
  await cutListeners();
  await eventually("both listen again", () => one.connected && other.connected && refusals > 2);
  const before = other.wakes();
  one.tell();
  await eventually("a wake", () => other.wakes() > before);
  await Promise.all([one.stop(), other.stop()]);
});

test("nobody comes back after a stop", async () => {
  const waker = await started();
  await cutListeners();
  await waker.stop();
  expect(waker.connected).toBe(false);
});

test("two schemas of one database do not wake each other", async () => {
  const strange = await testDatabase();
  const [one, other, third] = [await started(), await started(strange.db), await started()];
  const before = other.wakes();
  one.tell();
  await eventually("a wake where it belongs", () => third.wakes() > 1);
  other.tell();
  await eventually("its own telling", () => other.wakes() > before);
  expect(other.wakes() - before).toBe(1);
  await Promise.all([one.stop(), other.stop(), third.stop()]);
  await strange.close();
});
