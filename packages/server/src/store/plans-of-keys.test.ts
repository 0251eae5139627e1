/** What keys cost where many jobs are in line for them: a few rows read, whatever lies in the tables. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { claimAll, claimOne, enqueueAll, functionQueue, newRun, settleOne } from "../testing-kit/fixtures.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

async function rowsRead(): Promise<number> {
  const { db, schema } = database;
  await db.script("select pg_stat_force_next_flush()");
  const { rows } = await db.script(
    `select sum(seq_tup_read + idx_tup_fetch)::int as count from pg_stat_user_tables
      where schemaname = '${schema}' and relname in ('jobs', 'payloads')`,
  );
  return rows[0].count;
}

test("a turn of either key is taken and passed on by reading a few rows, though 30,000 runs wait for each of them", async () => {
  const { db } = database;
  const queueId = await functionQueue(db);
  const of = (...keys: string[]) => newRun(queueId, {}, { functionKeys: keys.map((key) => ({ key, limit: 1 })) });
  const holder = of("a", "b");
  await enqueueAll(db, [holder]);
  const held = await claimOne(db, queueId, holder.id);
  const waiting = [of("a", "c"), of("d", "b")];
  await enqueueAll(db, waiting);
  // Behind them in each line, and as many that are over.
  await db.script(
    `insert into rotor.jobs (id, queue_id, key_id, second_key_id, blocked_on, state, due_at)
       select gen_random_uuid(), ${queueId}, first.id, second.id, case when n % 2 = 0 then first.id else second.id end, 'waiting', now() + n * interval '1 ms'
         from generate_series(1, 60000) n, rotor.keys first, rotor.keys second where first.key = '0:a' and second.key = '1:b';
     insert into rotor.jobs (id, queue_id, key_id, second_key_id, state)
       select gen_random_uuid(), ${queueId}, key_id, second_key_id, 'completed' from rotor.jobs where blocked_on is not null;
     insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at)
       select id, queue_id, '{}', 'application/json', now(), now() from rotor.jobs on conflict do nothing;
     analyze rotor.jobs; analyze rotor.payloads`,
  );
  const before = await rowsRead();
  await settleOne(db, held, { kind: "done", output: null });
  const taken = await claimAll(db, queueId);
  expect(taken.map((job) => job.jobId).sort()).toEqual(waiting.map((job) => job.id).sort());
  await enqueueAll(db, [of("a", "b")]);
  expect((await rowsRead()) - before).toBeLessThan(300);
});
