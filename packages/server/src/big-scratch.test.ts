import { test } from "vitest";
import { findFailures } from "./store/dead-letters.js";
import { callbackQueue } from "./testing-kit/fixtures.js";
import { testDatabase } from "./testing-kit/database.js";
test("big", async () => {
  const d = await testDatabase(); const { db } = d;
  const { id } = await callbackQueue(db, "q");
  const c = await db.connect();
  await c.query("set statement_timeout=0");
  const run = (t: string) => c.query(db.resolve(t));
  await run(`insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at, tags) select ('019' || lpad(to_hex(n), 9, '0') || '70008000000000000000')::uuid, ${id}, convert_to(repeat('x', 200),'UTF8'), 'application/json', now(), now(), case when n % 5000 = 0 then array['rare'] end from generate_series(1,1000000) n`);
  await run(`insert into rotor.jobs (id, queue_id, state, due_at, delivery, attempt) select job_id, queue_id, case when row_number() over () % 10 = 0 then 'failed' else 'completed' end, null, 1, 1 from rotor.payloads`);
  await run(`insert into rotor.deliveries (job_id, delivery, attempt, outcome, ended_at, duration_ms, error) select id, 1, 1, state, now(), 1, case when state = 'failed' then '{"name":"Error","message":"Failure ' || row_number() over () || '","stack":"' || repeat('at x ', 60) || '"}' end from rotor.jobs`);
  await run("analyze rotor.payloads"); await run("analyze rotor.jobs"); await run("analyze rotor.deliveries");
  const { rows } = await run(`select pg_size_pretty(pg_relation_size('rotor.jobs_failed')) as s, pg_size_pretty(pg_relation_size('rotor.payloads_list')) as l`);
  console.log(rows);
  for (const [name, filter] of [["all", {}], ["tag", { tag: "rare" }], ["error", { error: "failure 777770" }], ["after", { after: new Date(Date.now() - 60000).toISOString() }], ["none", { error: "zzz" }]] as const) {
    const t0 = performance.now(); let next: string | undefined; let n = 0; let looks = 0;
    do { const r = await findFailures(db, "default", filter, { from: "newest", cursor: next, look: name === "all" ? 50 : 5000, limit: 50 }); n += r.failures.length; next = r.next; looks++; } while (next && n < 50);
    console.log(name, n, "looks", looks, Math.round(performance.now() - t0), "ms");
  }
  const { prune } = await import("./store/prune.js");
  const { DEFAULT_RETENTION } = await import("./core/retention.js");
  await d.shiftClock(8 * 86400000);
  let t0 = performance.now(); let k = 0;
  for (let i = 0; i < 60; i++) k += (await prune(db, DEFAULT_RETENTION)) ?? 0;
  console.log("60 prune steps removed", k, Math.round(performance.now() - t0), "ms");
  await c.end();
  await d.close();
}, 300000);
