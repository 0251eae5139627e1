// Statements that a scenario gives the database before it begins.

/** Deliveries of runs that failed come back soon: a fault run has no time for the back-off of a real one. */
export const shortBackoff = (schema) =>
  `update ${schema}.queues set backoff = '{"kind":"fixed","factor":1,"minMs":100,"maxMs":100,"jitter":"none","listMs":[]}'
    where kind = 'function'`;

/** From then on the database writes down whatever changes a result that was recorded, in the commit that does it. */
export const watchResults = (schema) => `
  create table ${schema}.changed_results (job_id uuid, key text, before text, after text, at timestamptz default clock_timestamp());
  create function ${schema}.watch_results() returns trigger language plpgsql as $$
  begin
    insert into ${schema}.changed_results (job_id, key, before, after)
    values (old.job_id, old.key, old.seq || ' ' || old.state || coalesce(old.output, old.error, ''),
            new.seq || ' ' || new.state || coalesce(new.output, new.error, ''));
    return null;
  end $$;
  create trigger watch_results after update on ${schema}.steps for each row
    when (old.state in ('completed', 'failed')
          and (old.state, old.seq, old.output, old.error) is distinct from (new.state, new.seq, new.output, new.error))
    execute function ${schema}.watch_results();`;
