/** Apps and the functions that they serve. A sync makes the stored functions equal to the manifest, in one transaction. */
import type { FunctionManifest, Manifest, StartOptions } from "@rotorsh/sdk/protocol";
import { DEFAULT_BACKOFF } from "../core/backoff.js";
import { limits } from "../core/limits.js";
import { ONE_FOR_ALL } from "../core/rate-key.js";
import { type Db, type Queryable, sql, type Transaction } from "./db.js";
import { applyFunctionRates, updateFunctionLimits } from "./function-keys.js";
import { putTrigger } from "./schedules.js";

export type App = {
  readonly id: number;
  readonly workspace: string;
  readonly name: string;
  readonly url: string;
  readonly hash: string;
  readonly syncedAt: Date;
};

export type Synced =
  | { readonly ok: true; readonly app: App; readonly added: string[]; readonly removed: string[] }
  /** The app is known under another URL, or another app holds a function: both are named. */
  | { readonly ok: false; readonly message: string };

const appColumns = `id, workspace_id as workspace, name, url, hash, synced_at as "syncedAt"`;

const lockApps = sql(
  "apps.lock",
  `select ${appColumns} from rotor.apps where workspace_id = $1 order by id for no key update`,
);

/** New apps of one workspace take turns: a row that is not there cannot be locked. */
const lockWorkspace = sql("apps.lock-workspace", "select id from rotor.workspaces where id = $1 for no key update");

const upsert = sql(
  "apps.upsert",
  `insert into rotor.apps as app (workspace_id, name, url, hash, synced_at) values ($1, $2, $3, $4, rotor.clock())
   on conflict (workspace_id, name) do update set url = excluded.url, hash = excluded.hash, synced_at = excluded.synced_at, unreachable_since = null
   returning ${appColumns}`,
);

/** An app that has another name now keeps its functions and their runs. */
const rename = sql("apps.rename", "update rotor.apps set name = $2 where id = $1");

const owners = sql(
  "apps.owners",
  `select queue.name, app.name as app, app.url from rotor.queues queue join rotor.apps app on app.id = queue.app_id
    where queue.workspace_id = $1 and queue.kind = 'function' and queue.name = any($2::text[]) and app.name <> $3`,
);

const upsertFunctions = sql(
  "apps.functions",
  `insert into rotor.queues as queue (workspace_id, app_id, name, kind, url, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms,
                                      starting, rate_limit, rate_period_ms, rate_key, keyed)
   select $1, $2, item.name, 'function', $3, item.concurrency, $4, $4, item.max_attempts, $5::jsonb, $6,
          item.starting::jsonb, item.rate_limit, item.rate_period_ms, item.rate_key, item.rate_key is not null
     from unnest($7::text[], $8::int[], $9::int[], $10::text[], $11::int[], $12::bigint[], $13::text[])
       as item (name, concurrency, max_attempts, starting, rate_limit, rate_period_ms, rate_key)
   on conflict (workspace_id, kind, name) do update
      set app_id = excluded.app_id, url = excluded.url, concurrency = excluded.concurrency, max_attempts = excluded.max_attempts,
          starting = excluded.starting, rate_limit = excluded.rate_limit, rate_period_ms = excluded.rate_period_ms,
          rate_key = excluded.rate_key, keyed = queue.keyed or excluded.keyed, trips = 0, open_at = '-infinity'
   returning queue.id, queue.name, (xmax = 0) as added`,
);

/** A function that the app no longer has keeps its queue, so that its runs keep their story; its triggers go. */
const orphanedFunctions = sql(
  "apps.orphaned",
  `update rotor.queues set url = null where app_id = $1 and not (name = any($2::text[])) and url is not null returning id, name`,
);

const clearTriggers = sql("apps.clear-triggers", "delete from rotor.triggers where queue_id = any($1::int[])");
const addTriggers = sql(
  "apps.add-triggers",
  `insert into rotor.triggers (queue_id, workspace_id, event_name, condition, place)
   select * from unnest($1::int[], $2::text[], $3::text[], $4::text[]) with ordinality`,
);
const clearSchedules = sql(
  "apps.clear-schedules",
  "delete from rotor.schedules where queue_id = any($1::int[]) and owned and not (name = any($2::text[]))",
);

/** What is kept in `queues.starting`; the rate has columns of its own. */
function startingOf({ id: _, triggers: __, max_attempts: ___, concurrency: ____, ...options }: FunctionManifest) {
  const { rate_limit: _____, ...starting }: StartOptions = options;
  return starting;
}

/** Stores what the app at `url` says of itself. `move` agrees to a new URL and to taking functions over. */
export async function syncApp(
  db: Db,
  workspace: string,
  url: string,
  manifest: Manifest,
  move: boolean,
): Promise<Synced> {
  return db.transact(async (t) => {
    await t.query(lockWorkspace, [workspace]);
    const apps = await t.query<App>(lockApps, [workspace]);
    const same = apps.find((app) => app.name === manifest.app);
    if (!move && same !== undefined && same.url !== url) {
      return {
        ok: false,
        message: `The app ${manifest.app} is served at ${same.url}; this is ${url}. Give it another name, or sync with --move.`,
      };
    }
    const elsewhere = apps.find((app) => app.url === url && app.name !== manifest.app);
    if (elsewhere !== undefined && (!move || same !== undefined)) {
      return {
        ok: false,
        message: `${url} serves the app ${elsewhere.name}; it now calls itself ${manifest.app}. One URL serves one app: give it its old name, or sync with --move where the new name is free.`,
      };
    }
    if (elsewhere !== undefined) await t.query(rename, [elsewhere.id, manifest.app]);
    const names = manifest.functions.map((each) => each.id);
    const taken = await t.query<{ name: string; app: string; url: string }>(owners, [workspace, names, manifest.app]);
    if (!move && taken[0] !== undefined) {
      return {
        ok: false,
        message: `The function ${taken[0].name} belongs to the app ${taken[0].app} at ${taken[0].url}. Rename it, or sync with --move.`,
      };
    }
    const app = (await t.query<App>(upsert, [workspace, manifest.app, url, manifest.hash]))[0]!;
    const queues = await t.query<{ id: number; name: string; added: boolean }>(upsertFunctions, [
      workspace,
      app.id,
      url,
      limits.runTimeoutMs,
      JSON.stringify(DEFAULT_BACKOFF),
      limits.approvalTimeoutMs,
      names,
      manifest.functions.map((each) => each.concurrency),
      manifest.functions.map((each) => each.max_attempts),
      manifest.functions.map((each) => JSON.stringify(startingOf(each))),
      manifest.functions.map((each) => each.rate_limit?.limit ?? null),
      manifest.functions.map((each) => each.rate_limit?.period_ms ?? null),
      manifest.functions.map((each) => (each.rate_limit ? (each.rate_limit.key ?? ONE_FOR_ALL) : null)),
    ]);
    const gone = await t.query<{ id: number; name: string }>(orphanedFunctions, [app.id, names]);
    await writeTriggers(
      t,
      workspace,
      manifest,
      new Map(queues.map((queue) => [queue.name, queue.id])),
      gone.map((queue) => queue.id),
    );
    for (const { id, keys } of manifest.functions) {
      const queue = queues.find((each) => each.name === id)!;
      await updateFunctionLimits(t, queue.id, keys?.map((key) => key.limit) ?? []);
    }
    await applyFunctionRates(
      t,
      queues.map((queue) => queue.id),
    );
    return {
      ok: true,
      app,
      added: queues.filter((queue) => queue.added).map((queue) => queue.name),
      removed: gone.map((queue) => queue.name),
    };
  });
}

async function writeTriggers(
  t: Transaction,
  workspace: string,
  manifest: Manifest,
  ids: ReadonlyMap<string, number>,
  gone: readonly number[],
): Promise<void> {
  const queueIds = [...ids.values(), ...gone];
  await t.query(clearTriggers, [queueIds]);
  const events = manifest.functions.flatMap((each) =>
    each.triggers.flatMap((trigger) =>
      "event" in trigger ? [{ queueId: ids.get(each.id)!, event: trigger.event, condition: trigger.if ?? null }] : [],
    ),
  );
  await t.query(addTriggers, [
    events.map((each) => each.queueId),
    events.map(() => workspace),
    events.map((each) => each.event),
    events.map((each) => each.condition),
  ]);
  const crons = manifest.functions.flatMap((each) =>
    each.triggers
      .filter((trigger) => "cron" in trigger)
      .map((trigger, index) => ({
        ...trigger,
        queueId: ids.get(each.id)!,
        name: `rotor:${each.id}${index === 0 ? "" : `:${index + 1}`}`,
      })),
  );
  await t.query(clearSchedules, [queueIds, crons.map((each) => each.name)]);
  for (const { name, ...trigger } of crons) await putTrigger(t, workspace, name, trigger);
}

const list = sql(
  "apps.list",
  `select ${appColumns} from rotor.apps where ($1::text is null or workspace_id = $1) order by id`,
);

/** The apps of a workspace, or of all. */
export const listApps = (db: Queryable, workspace: string | null): Promise<App[]> => db.query<App>(list, [workspace]);

/** An app as people see it. */
export type AppView = App & {
  /** Functions that it has. */
  readonly functions: number;
  /** Null while it answers. */
  readonly unreachableSince: Date | null;
};

const views = sql(
  "apps.views",
  `select ${appColumns}, unreachable_since as "unreachableSince", (select count(*)::int from rotor.queues where app_id = apps.id) as functions
     from rotor.apps where workspace_id = $1 order by name`,
);

export const listAppViews = (db: Queryable, workspace: string): Promise<AppView[]> =>
  db.query<AppView>(views, [workspace]);

const triggersOf = sql(
  "apps.triggers-of",
  `select queue_id as "queueId", event_name as event, condition from rotor.triggers where queue_id = any($1::int[]) order by event_name`,
);

export const listTriggers = (
  db: Queryable,
  queueIds: readonly number[],
): Promise<{ queueId: number; event: string; condition: string | null }[]> => db.query(triggersOf, [[...queueIds]]);

const cancelEventsOf = sql(
  "apps.cancel-events",
  `select distinct item.value ->> 'event' as event
     from rotor.queues queue cross join lateral jsonb_array_elements(queue.starting -> 'cancel_on') item (value)
    where queue.id = any($1::int[])`,
);

/** The events that cancel runs of these functions. */
export const listCancelEvents = async (db: Queryable, queueIds: readonly number[]): Promise<string[]> =>
  (await db.query<{ event: string }>(cancelEventsOf, [[...queueIds]])).map((row) => row.event);
