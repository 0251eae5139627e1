// The log that the database keeps by triggers of the harness: each change of a job's state, of a step, of a node's row, and
// each commit that breaks a limit. Rotor does not know of it.
import { appendFileSync } from "node:fs";

const PAGE = 50_000;

/** The tables are another schema's, so that they are in nobody's way. */
export const shadowOf = (schema) => `
  create schema shadow;
  -- \`at\`: when the trigger was run; \`began\`: when its statement was, which may have stood still meanwhile.
  create table shadow.jobs (seq bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    began timestamptz not null default statement_timestamp(), job uuid, queue int, before text, state text, delivery int, attempt int, node uuid);
  create table shadow.steps (seq bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    job uuid, key text, before text, state text, is_changed boolean);
  create table shadow.nodes (id uuid primary key, label text);
  create table shadow.over (seq bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    what text, name text, now int, most int);

  create function shadow.see_job() returns trigger language plpgsql as $$
  begin
    insert into shadow.jobs (job, queue, before, state, delivery, attempt, node)
    values (new.id, new.queue_id, case when tg_op = 'UPDATE' then old.state end, new.state, new.delivery, new.attempt, new.node_id);
    return null;
  end $$;
  create trigger shadow_insert after insert on ${schema}.jobs for each row execute function shadow.see_job();
  create trigger shadow_update after update on ${schema}.jobs for each row
    when ((old.state, old.delivery, old.node_id) is distinct from (new.state, new.delivery, new.node_id)) execute function shadow.see_job();

  create function shadow.see_step() returns trigger language plpgsql as $$
  begin
    insert into shadow.steps (job, key, before, state, is_changed)
    values (new.job_id, new.key, case when tg_op = 'UPDATE' then old.state end, new.state,
            tg_op = 'UPDATE' and old.state in ('completed', 'failed') and (old.state, old.seq, old.output, old.error) is distinct from (new.state, new.seq, new.output, new.error));
    return null;
  end $$;
  create trigger shadow_insert after insert on ${schema}.steps for each row execute function shadow.see_step();
  create trigger shadow_update after update on ${schema}.steps for each row
    when ((old.state, old.seq, old.output, old.error) is distinct from (new.state, new.seq, new.output, new.error)) execute function shadow.see_step();

  create function shadow.see_node() returns trigger language plpgsql as $$
  begin
    insert into shadow.nodes (id, label) values (new.id, new.label) on conflict do nothing;
    return null;
  end $$;
  create trigger shadow_insert after insert on ${schema}.nodes for each row execute function shadow.see_node();
  insert into shadow.nodes (id, label) select id, label from ${schema}.nodes;

  -- At the commit that breaks a limit, under the locks that its claim holds until then. Its jobs alone are counted here: that
  -- nothing but a claim makes one active is the trigger's own condition.
  create function shadow.see_limits() returns trigger language plpgsql as $$
  declare n int; m int;
  begin
    select count(*), max(q.concurrency) into n, m from ${schema}.jobs j join ${schema}.queues q on q.id = j.queue_id
     where j.queue_id = new.queue_id and j.state = 'active' having max(q.concurrency) <= 10;
    if n > m then insert into shadow.over (what, name, now, most) values ('queue', new.queue_id::text, n, m); end if;
    if new.key_id is not null then
      select count(*), max(k.concurrency) into n, m from ${schema}.jobs j join ${schema}.keys k on k.id = j.key_id
       where j.key_id = new.key_id and j.state = 'active';
      if n > m then insert into shadow.over (what, name, now, most) values ('key', new.key_id::text, n, m); end if;
    end if;
    return null;
  end $$;
  create constraint trigger shadow_limits after update of state on ${schema}.jobs deferrable initially deferred
    for each row when (new.state = 'active' and old.state <> 'active') execute function shadow.see_limits();`;

/** Writes all of it to a file, a line each, in the order in which it happened. `table` says what a line is of. */
export async function dumpShadow(database, schema, path) {
  for (const row of await database("select 'node' as table, id, label from shadow.nodes"))
    appendFileSync(path, `${JSON.stringify(row)}\n`);
  for (const row of await database(
    "select 'over' as table, (extract(epoch from at) * 1000)::float8 as t, what, name, now, most from shadow.over",
  ))
    appendFileSync(path, `${JSON.stringify(row)}\n`);
  // Not the triggers': what Rotor says of a delivery is no evidence, but tells where to look.
  for (const row of await database(
    `select 'delivery' as table, job_id as job, delivery, outcome, error from ${schema}.deliveries`,
  ))
    appendFileSync(path, `${JSON.stringify(row)}\n`);
  for (const [table, columns] of [
    ["job", "(extract(epoch from began) * 1000)::float8 as began, job, queue, before, state, delivery, attempt, node"],
    ["step", 'job, key, before, state, is_changed as "isChanged"'],
  ]) {
    for (let after = 0; ; ) {
      const rows = await database(
        `select seq, '${table}' as table, (extract(epoch from at) * 1000)::float8 as t, ${columns} from shadow.${table}s where seq > $1 order by seq limit ${PAGE}`,
        [after],
      );
      if (rows.length > 0)
        appendFileSync(path, `${rows.map(({ seq: _, ...row }) => JSON.stringify(row)).join("\n")}\n`);
      if (rows.length < PAGE) break;
      after = rows.at(-1).seq;
    }
  }
}
