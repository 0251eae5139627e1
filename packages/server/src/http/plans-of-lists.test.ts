/**
 * What people look at costs the same whatever lies in the tables: each question reads a bounded number of rows. Postgres
 * itself counts them, over a few jobs and over five times as many.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { type Db, openDb } from "../store/db.js";
import { createApp } from "./app.js";
import { createApiKey, SCOPES } from "./auth.js";
import { type ClientApi, clientApi } from "./testing-kit/client.js";

const QUEUES = 20;

let kit: ClientApi;
/** Of one connection, so that what it has read is known as soon as it says so. */
let db: Db;
let key: string;

beforeAll(async () => {
  kit = await clientApi();
  const { url, schema } = kit.api.database;
  db = openDb({ url, schema, maxConnections: 1 });
  ({ key } = await createApiKey(db, "default", "looker", SCOPES));
  await db.script(
    `insert into rotor.queues (workspace_id, name, kind, url, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms)
     select case when n % 4 = 0 then 'other' else 'default' end, 'q' || n, case when n % 3 = 0 then 'function' else 'callback' end,
            'http://127.0.0.1:9', 10, 1000, 1000, 3, '{}', 1000
       from generate_series(1, ${QUEUES}) n`,
  );
});
afterAll(async () => {
  expect(kit.api.logged).toEqual([]);
  await db.close();
  await kit.api.close();
});

/** Of 100 jobs: 1 waits for later, 1 is due, 1 is active, 1 has failed, 1 was cancelled; the others are completed. */
async function fill(from: number, count: number): Promise<void> {
  await db.script(
    `create temp table made on commit drop as
     select gen.n, queue.id as queue_id, queue.kind,
            (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 86400000 + gen.n), 12, '0') || '7000' || '8000' || lpad(to_hex(gen.n), 12, '0'))::uuid as id,
            (array['waiting','waiting','active','failed','cancelled'])[gen.n % 100 + 1] as state
       from generate_series(${from}, ${from + count - 1}) gen (n)
       join (select id, kind, row_number() over (order by id) - 1 as place from rotor.queues where name like 'q%') queue on queue.place = gen.n % ${QUEUES};
     insert into rotor.jobs (id, queue_id, state, due_at, delivery)
       select id, queue_id, coalesce(state, 'completed'),
              case when n % 100 = 0 then now() + interval '1 day' when n % 100 < 3 then now() - interval '1 second' end, 1 from made;
     insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at, tags)
       select id, queue_id, convert_to('{"id":"' || id || '","name":"n","data":1,"ts":1}', 'UTF8'), 'application/json', now(), now(),
              case when n % 1000 = 7 then array['rare'] end from made;
     insert into rotor.deliveries (job_id, delivery, attempt, outcome, ended_at, duration_ms)
       select id, 1, 1, coalesce(state, 'completed'), now(), 5 from made where state is null or state in ('failed', 'cancelled');
     insert into rotor.events (id, workspace_id, name, key, data, ts, received_at, tags)
       select id, case when n % 4 = 0 then 'other' else 'default' end, 'name-' || n % 50, id::text, '1', now(), now(), case when n % 1000 = 7 then array['rare'] end from made;
     insert into rotor.tallies (queue_id, at, ended, failed) select id, date_trunc('minute', now()), 1, 0 from rotor.queues on conflict do nothing`.replace(
      "create temp table made on commit drop",
      "drop table if exists made; create temp table made",
    ),
  );
  await db.script("analyze rotor.jobs; analyze rotor.payloads; analyze rotor.deliveries; analyze rotor.events");
}

const PATHS = [
  "/v1/stats",
  "/v1/jobs?brief=true",
  "/v1/jobs?state=waiting",
  "/v1/jobs?state=delayed",
  "/v1/jobs?state=active",
  "/v1/jobs?state=failed",
  "/v1/jobs?state=cancelled",
  "/v1/jobs?state=pending_approval",
  "/v1/jobs?tag=rare",
  "/v1/jobs?queue=q1&state=cancelled",
  "/v1/jobs?created_before=2000-01-01T00:00:00Z",
  "/v1/queues/q1/jobs",
  "/v1/runs",
  "/v1/runs?state=active",
  "/v1/runs?function=q3&state=failed",
  "/v1/runs?tag=rare",
  "/v1/runs?event=nobody",
  "/v1/dlq",
  "/v1/approvals",
  "/v1/approvals?status=rejected",
  "/v1/events",
  "/v1/events?name=name-3",
  "/v1/events?name=nobody",
  "/v1/events?tag=rare",
  "/v1/find?q=nobody",
  "/v1/schedules",
  "/v1/functions",
  "/v1/queues",
  "/v1/audit",
];

async function rowsRead(): Promise<number> {
  await db.script("select pg_stat_force_next_flush()");
  const { rows } = await db.script(
    `select (sum(seq_tup_read) + (select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = '${db.schema}'))::int as count
       from pg_stat_user_tables where schemaname = '${db.schema}'`,
  );
  return rows[0].count;
}

/** Rows that each question reads for a statement of its own, asked of an app that has kept nothing. */
async function costs(): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  let statements = 0;
  const counting: Db = {
    ...db,
    query: (statement, values) => {
      statements++;
      return db.query(statement, values);
    },
  };
  const headers = { authorization: `Bearer ${key}` };
  for (const path of PATHS) {
    const app = createApp({ ...kit.api.engine, db: counting }, { log: { error: () => undefined } });
    const before = await rowsRead();
    statements = 0;
    const answer = await app.request(`http://rotor.test${path}`, { headers });
    expect([path, answer.status]).toEqual([path, 200]);
    found.set(path, Math.round(((await rowsRead()) - before) / statements));
  }
  return found;
}

/** A list that is searched through looks at so many ids, and then at an entry and a row of jobs and of payloads for each. */
const MOST = 5 * limits.listLooked;

/** Those that search through nothing. */
const SAME =
  /^\/v1\/(?:jobs\?(?:brief=true|state=(?:active|failed)|created_before\S+)|queues\S*|runs(?:\?function=\S+)?|dlq|approvals\S*|events|find\S+|audit)$/;

test("no question reads more rows where five times as many jobs, runs and events are stored", async () => {
  await fill(0, 20_000);
  const few = await costs();
  await fill(20_000, 80_000);
  const many = await costs();
  const table = PATHS.map((path) => ({ path, few: few.get(path)!, many: many.get(path)! }));
  if (process.env.ROTOR_SHOW_PLANS !== undefined) console.table(table);
  expect(table.filter((row) => row.many > MOST)).toEqual([]);
  expect(table.filter((row) => SAME.test(row.path) && row.many > row.few + 50)).toEqual([]);
  expect(table.filter((row) => SAME.test(row.path)).length).toBeGreaterThan(10);
}, 120_000);
