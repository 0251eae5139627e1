/**
 * Webhooks: who wants to be told of what. Each has a queue of its own, which Rotor made: deliveries to it are jobs like
 * any other, with attempts, back-off and dead letters. What they are told is written by `tell.ts`.
 */
import { DEFAULT_BACKOFF } from "../core/backoff.js";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { cancel } from "./control.js";
import { type Db, type Queryable, sql } from "./db.js";
import { forgetWanted } from "./tell.js";

/** What a user sets of a webhook. */
export type WebhookSettings = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Types of `core/lifecycle.ts`, or `*` alone. */
  readonly types: readonly string[];
};

export type Webhook = WebhookSettings & {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly queueId: number;
  /** The queue's name, under which its deliveries are listed. */
  readonly queue: string;
  readonly createdAt: Date;
};

/** No name that a user can give to a queue. */
export const queueOfWebhook = (name: string): string => `rotor/webhook/${name}`;

const columns = `webhook.id, webhook.workspace_id as workspace, webhook.name, webhook.queue_id as "queueId", queue.name as queue,
  queue.url, queue.headers, webhook.types, webhook.created_at as "createdAt"`;

/** A queue that a webhook left behind, deleted half-way, is taken over. */
const insertQueue = sql(
  "webhooks.queue",
  `insert into rotor.queues (workspace_id, name, kind, system, url, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms)
   values ($1, $2, 'callback', 'webhook', $3, $4, $5, $5, $6, $7::jsonb, 1)
   on conflict (workspace_id, kind, name) do update set url = excluded.url
   returning id`,
);

/** Makers in one workspace take turns: they would both count before either wrote. */
const lockWorkspace = sql("webhooks.lock", "select id from rotor.workspaces where id = $1 for no key update");

const others = sql(
  "webhooks.others",
  `select count(*)::int as count, coalesce(bool_or(name = $2), false) as taken from rotor.webhooks where workspace_id = $1`,
);

const insert = sql(
  "webhooks.insert",
  "insert into rotor.webhooks (id, workspace_id, name, queue_id, types) values ($1, $2, $3, $4, '{}')",
);

/**
 * Makes a webhook that is told of nothing yet: it first gets its secret, then its types by `updateWebhook`, so that
 * nothing is ever signed with another's. `taken`: there is one of this name.
 */
export async function createWebhook(
  db: Db,
  workspace: string,
  name: string,
  url: string,
): Promise<"made" | "taken" | "too-many"> {
  return db.transact(async (t) => {
    await t.query(lockWorkspace, [workspace]);
    const [before] = await t.query<{ count: number; taken: boolean }>(others, [workspace, name]);
    if (before!.taken) return "taken";
    if (before!.count >= limits.webhooks) return "too-many";
    const [queue] = await t.query<{ id: number }>(insertQueue, [
      workspace,
      queueOfWebhook(name),
      url,
      limits.webhookConcurrency,
      limits.webhookTimeoutMs,
      limits.webhookAttempts,
      JSON.stringify(DEFAULT_BACKOFF),
    ]);
    await t.query(insert, [newId(), workspace, name, queue!.id]);
    return "made";
  });
}

const setQueue = sql(
  "webhooks.set-queue",
  `update rotor.queues set url = $2, headers = $3::jsonb, trips = 0, failures = 0, open_at = '-infinity' where id = $1 and system = 'webhook'`,
);

const setTypes = sql(
  "webhooks.set-types",
  "update rotor.webhooks set types = $3::text[] where workspace_id = $1 and name = $2 returning id",
);

/** Changes a webhook; false: there is none. */
export async function updateWebhook(db: Db, webhook: Webhook, settings: WebhookSettings): Promise<boolean> {
  const found = await db.transact(async (t) => {
    // The queue's row first, as everywhere; the webhook's tells whether it is there still.
    await t.query(setQueue, [webhook.queueId, settings.url, JSON.stringify(settings.headers)]);
    return (await t.query(setTypes, [webhook.workspace, webhook.name, [...settings.types]])).length > 0;
  });
  forgetWanted(db);
  return found;
}

const list = sql(
  "webhooks.list",
  `select ${columns} from rotor.webhooks webhook join rotor.queues queue on queue.id = webhook.queue_id
    where webhook.workspace_id = $1 and ($2::text is null or webhook.name = $2) and webhook.name > $3 order by webhook.name limit $4`,
);

export const getWebhook = async (db: Queryable, workspace: string, name: string): Promise<Webhook | undefined> =>
  (await db.query<Webhook>(list, [workspace, name, "", 1]))[0];

export const listWebhooks = (db: Queryable, workspace: string, after: string, limit: number): Promise<Webhook[]> =>
  db.query<Webhook>(list, [workspace, null, after, limit]);

const remove = sql(
  "webhooks.remove",
  "delete from rotor.webhooks where workspace_id = $1 and name = $2 returning queue_id as id",
);

const unfinished = sql(
  "webhooks.unfinished",
  "select id from rotor.jobs where queue_id = $1 and (state = 'active' or (state = 'waiting' and blocked_on is null)) limit 500",
);

/** Not while something is left in it, which would have nowhere to go. */
const removeQueue = sql(
  "webhooks.remove-queue",
  `delete from rotor.queues
    where id = $1 and system = 'webhook'
      and not exists (select 1 from rotor.webhooks where queue_id = queues.id)
      and not exists (select 1 from rotor.jobs where queue_id = queues.id and state = 'waiting' and blocked_on is null)
      and not exists (select 1 from rotor.jobs where queue_id = queues.id and state = 'active')`,
);

/** Deletes a webhook, and with it whatever was not delivered yet. False: there is none. */
export async function deleteWebhook(db: Db, workspace: string, name: string): Promise<boolean> {
  const [queue] = await db.query<{ id: number }>(remove, [workspace, name]);
  forgetWanted(db);
  if (queue === undefined) return false;
  // Nothing is told to it any more, but for transactions that are under way.
  for (;;) {
    const jobs = await db.query<{ id: string }>(unfinished, [queue.id]);
    if (jobs.length === 0) break;
    await cancel(
      db,
      jobs.map((job) => job.id),
    );
  }
  await db.query(removeQueue, [queue.id]);
  return true;
}
