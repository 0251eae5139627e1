/**
 * Fills a server with as much as a busy one has: jobs and runs in all states, events, and how deliveries went. Written by
 * SQL, since what is looked at is lists; what is alive comes from `story.ts`.
 */
import type { TestServer } from "../../server/src/testing-kit/server.js";

export type Many = { readonly jobs: number; readonly runs: number };

const QUEUES = ["emails", "crm-export", "letters"];
const FUNCTIONS = ["fulfil-order", "publish-post", "sync-crm"];

/** An id of `n` milliseconds before now, so that lists have an order. */
const idOf = (n: string, kind: "7" | "8"): string =>
  `(lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 3600000 - ${n}), 12, '0') || '7${kind}00' || '8000' || lpad(to_hex(${n}), 12, '0'))::uuid`;

/** So many into queues and functions that are there already. Of a hundred, two wait for later and three have failed. */
export async function fill(server: TestServer, { jobs, runs }: Many): Promise<void> {
  const { db, schema } = server;
  const into = (kind: "callback" | "function", names: readonly string[], count: number, id: "7" | "8") => `
    create temp table made as
    select n, queue.id as queue_id, queue.name, ${idOf("n", id)} as id,
           case when n % 100 in (3, 4) then 'waiting' when n % 100 in (5, 6, 7) then 'failed' when n % 100 = 8 then 'cancelled' else 'completed' end as state,
           now() - interval '1 hour' - n * interval '1 millisecond' as at
      from generate_series(1, ${count}) n
      join (select id, name, row_number() over (order by name) - 1 as place from rotor.queues
             where kind = '${kind}' and workspace_id = 'default' and name in (${names.map((name) => `'${name}'`).join()})) queue
        on queue.place = n % ${names.length};
    insert into rotor.jobs (id, queue_id, state, due_at, delivery, attempt)
      select id, queue_id, state, case when state = 'waiting' then now() + interval '1 day' end, 1, 1 from made;
    insert into rotor.payloads (job_id, queue_id, key, body, content_type, created_at, run_at, tags)
      select id, queue_id, '${kind}-' || n,
             convert_to(${kind === "callback" ? `'{"to":"person-' || n || '@example.com"}'` : `'{"id":"e-' || n || '","name":"order.placed","data":{"orderId":"o-' || n || '"},"ts":1795000000000}'`}, 'UTF8'),
             'application/json', at, at, case when n % 50 = 0 then array['rare'] when n % 3 = 0 then array['onboarding', 'eu'] end
        from made;
    insert into rotor.deliveries (job_id, delivery, attempt, outcome, status, ended_at, duration_ms, error)
      select id, 1, 1, case state when 'waiting' then 'retry' else state end, case when state = 'completed' then 200 when state = 'failed' then 503 end,
             at + interval '40 milliseconds', 40,
             case when state in ('failed', 'waiting') then '{"name":"HttpError","message":"The endpoint answered 503: upstream connect error"}' end
        from made;
    drop table made;`;
  await db.script(
    `begin;
     ${into("callback", QUEUES, jobs, "7")}
     ${into("function", FUNCTIONS, runs, "8")}
     insert into rotor.events (id, workspace_id, name, key, data, ts, received_at)
       select ${idOf("n", "7")}, 'default', 'order.placed', 'e-' || n, '{"orderId":"o-' || n || '"}', now(), now() - interval '1 hour' - n * interval '1 millisecond'
         from generate_series(1, ${runs}) n;
     insert into rotor.tallies (queue_id, at, ended, failed, wait_ms)
       select queue.id, date_trunc('minute', now()) - n * interval '1 minute', 60 + (40 * sin(n / 9.0))::int,
              case when n between 20 and 26 then 20 else n % 3 end, 20 + (n * 37) % 180
         from rotor.queues queue, generate_series(1, 60) n
        where queue.workspace_id = 'default' and queue.name in ('emails', 'fulfil-order') on conflict do nothing;
     commit`.replaceAll("rotor.", `${schema}.`),
  );
  await db.script(
    `analyze ${schema}.jobs; analyze ${schema}.payloads; analyze ${schema}.deliveries; analyze ${schema}.events`,
  );
}
