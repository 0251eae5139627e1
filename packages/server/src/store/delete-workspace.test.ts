/** A workspace, or a queue, leaves a large table: at the cost of what is in it, not of what others have there. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue } from "../testing-kit/fixtures.js";
import { rowsScanned } from "../testing-kit/pruning.js";
import { closeWorkspace, emptyWorkspace, hasUnfinished } from "./delete-workspace.js";
import { createQueue, DEFAULT_QUEUE, deleteQueue } from "./queues.js";
import { createWorkspace } from "./workspaces.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

test("no step reads the jobs of others", async () => {
  const { db } = database;
  const [busy, quiet] = [await callbackQueue(db, "busy"), await callbackQueue(db, "quiet")];
  await createWorkspace(db, "leaving", "leaving");
  const left = (await createQueue(db, "leaving", "left", DEFAULT_QUEUE))!;
  await db.script(
    `insert into rotor.keys (workspace_id, kind, key) values ('leaving', 'turn', 'one'), ('default', 'turn', 'two');
     insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at)
       select ('0190' || lpad(to_hex(n), 8, '0') || '70008000000000000000')::uuid, case when n % 20 = 0 then ${left.id} else ${busy.id} end, '{}', 'application/json', now(), now() from generate_series(1, 40000) n;
     insert into rotor.jobs (id, queue_id, key_id, blocked_on, state, due_at)
       select job_id, payload.queue_id, key.id, case when n % 5 = 1 then key.id end, case when n % 5 < 2 then 'waiting' when n % 5 = 2 then 'pending_approval' else 'completed' end,
              case when n % 5 < 3 then now() end
         from (select *, row_number() over (partition by queue_id order by job_id) as n from rotor.payloads) payload
         join rotor.keys key on key.key = case when payload.queue_id = ${left.id} then 'one' else 'two' end;
     update rotor.queues set keyed = true;
     insert into rotor.early_signals select 'leaving', n::text, '1', now(), now() from generate_series(1, 1500) n;
     insert into rotor.used_links select 'leaving', n::text, now(), now() from generate_series(1, 1500) n;
     analyze rotor.jobs; analyze rotor.payloads`,
  );
  const before = await rowsScanned(db);
  expect(await hasUnfinished(db, "leaving")).toBe(true);
  await closeWorkspace(db, "leaving");
  expect(await emptyWorkspace(db, "leaving", false)).toBe("unfinished");
  let step: string = "more";
  for (let steps = 0; step === "more" && steps < 20; steps++) step = await emptyWorkspace(db, "leaving", true);
  expect(step).toBe("gone");
  expect(await deleteQueue(db, "default", "callback", quiet.name)).toBe(true);
  expect((await rowsScanned(db)) - before).toBeLessThan(10_000);
  for (const state of ["waiting", "pending_approval"]) {
    await db.script(`delete from rotor.jobs where blocked_on is null and state <> '${state}'`);
    expect(await deleteQueue(db, "default", "callback", busy.name)).toBe(false);
  }
  const { rows } = await db.script(
    `select count(*)::int as count from rotor.payloads left join rotor.jobs on id = job_id where payloads.queue_id = ${left.id}`,
  );
  expect(rows).toEqual([{ count: 0 }]);
});

test("a queue whose jobs are all blocked on a key is not deleted", async () => {
  const { db } = database;
  const queue = await callbackQueue(db, "blocked");
  await db.script(
    `insert into rotor.jobs (id, queue_id, key_id, blocked_on, state, due_at)
       select gen_random_uuid(), ${queue.id}, key.id, key.id, 'waiting', now() from rotor.keys key where key = 'two';
     update rotor.queues set keyed = true where id = ${queue.id}`,
  );
  expect(await deleteQueue(db, "default", "callback", "blocked")).toBe(false);
  await db.script(`delete from rotor.jobs where queue_id = ${queue.id}`);
  expect(await deleteQueue(db, "default", "callback", "blocked")).toBe(true);
});
