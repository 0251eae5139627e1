// Rows as the server would have stored them, by SQL and a part at a time: what has ended, and what waits for a key.

/** Rows of one statement. */
const PART = 20_000;

async function inParts(total, load) {
  for (let from = 0; from < total; from += PART) await load(Math.min(PART, total - from));
}

/** Ids in the order of time, as the server makes them. */
const IDS = `select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text || n), 1, 3)
                     || '8' || substr(md5(random()::text || n), 1, 15))::uuid as id, n from generate_series(1, $2) n`;

/** Jobs of a queue that were completed in the last hour. */
export const finishedJobs = ({ client, schema }, queueId, total) =>
  inParts(total, (count) =>
    client.query(
      `with item as materialized (${IDS}),
       payload as (
         insert into ${schema}.payloads (job_id, queue_id, body, content_type, created_at, run_at)
         select id, $1, convert_to('{"n":' || n || ',"text":"' || repeat('x', 200) || '"}', 'UTF8'), 'application/json', clock_timestamp(), clock_timestamp() from item),
       log as (
         insert into ${schema}.deliveries (job_id, delivery, attempt, outcome, status, ended_at, duration_ms)
         select id, 1, 1, 'completed', 200, clock_timestamp(), 3 from item)
       insert into ${schema}.jobs (id, queue_id, state, attempt, delivery) select id, $1, 'completed', 1, 1 from item`,
      [queueId, count],
    ),
  );

/** Runs of a function that were completed, each of ten steps. */
export const finishedRuns = ({ client, schema }, queueId, total) =>
  inParts(total, (count) =>
    client.query(
      `with item as materialized (${IDS}),
       payload as (
         insert into ${schema}.payloads (job_id, queue_id, body, content_type, created_at, run_at)
         select id, $1, convert_to('{"id":"' || id || '","name":"rotor/run.started","data":{},"ts":0}', 'UTF8'), 'application/json', clock_timestamp(), clock_timestamp() from item),
       step as (
         insert into ${schema}.steps (job_id, key, kind, state, attempt, seq, asked_at, asked, ended_at, duration_ms, output)
         select id, 'step-' || s, 'run', 'completed', 1, nextval('${schema}.step_seq'), clock_timestamp(), s, clock_timestamp(), 0, '"' || repeat('x', 100) || '"'
           from item, generate_series(0, 9) s),
       log as (
         insert into ${schema}.deliveries (job_id, delivery, attempt, outcome, status, ended_at, duration_ms)
         select id, 1, 1, 'completed', 200, clock_timestamp(), 3 from item)
       insert into ${schema}.jobs (id, queue_id, state, attempt, delivery) select id, $1, 'completed', 1, 1 from item`,
      [queueId, count],
    ),
  );

/** Jobs of a queue that wait for their turn of a key that another has. */
export const blockedJobs = ({ client, schema }, queueId, keyId, total) =>
  inParts(total, (count) =>
    client.query(
      `with item as materialized (${IDS}),
       payload as (
         insert into ${schema}.payloads (job_id, queue_id, body, content_type, created_at, run_at)
         select id, $1, '{}', 'application/json', clock_timestamp(), clock_timestamp() from item)
       insert into ${schema}.jobs (id, queue_id, state, due_at, key_id, blocked_on) select id, $1, 'waiting', clock_timestamp(), $3, $3 from item`,
      [queueId, count, keyId],
    ),
  );
