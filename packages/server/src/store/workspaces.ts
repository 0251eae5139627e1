/** Workspaces, their API keys and signing keys, and the settings of the whole schema. */
import { type Queryable, sql } from "./db.js";

export type Scope = "read" | "write" | "approve" | "admin" | "workspaces";

export type ApiKey = {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
};

const keyColumns = `id, workspace_id as workspace, name, scopes, created_at as "createdAt", expires_at as "expiresAt", revoked_at as "revokedAt"`;

const insertWorkspace = sql(
  "workspaces.insert",
  `insert into rotor.workspaces (id, name) values ($1, $2) on conflict (id) do nothing returning id`,
);
const listAll = sql("workspaces.list", `select id, name, created_at as "createdAt" from rotor.workspaces order by id`);
const removeWorkspace = sql(
  "workspaces.remove",
  `delete from rotor.workspaces where id = $1
      and not exists (select 1 from rotor.queues queue join rotor.jobs job on job.queue_id = queue.id
                       where queue.workspace_id = $1 and job.state in ('waiting', 'active', 'pending_approval'))
   returning id`,
);
const insertKey = sql(
  "keys.insert",
  `insert into rotor.api_keys (id, workspace_id, name, hash, scopes, expires_at) values ($1, $2, $3, $4, $5::text[], $6) returning ${keyColumns}`,
);
/** The same key again, of nodes that start at once, is no second one. */
const insertKeyOnce = sql(
  "keys.insert-once",
  `insert into rotor.api_keys (id, workspace_id, name, hash, scopes, expires_at) values ($1, $2, $3, $4, $5::text[], $6)
   on conflict (hash) do nothing`,
);
/** A key that is neither revoked nor expired, by the hash of all of it: nothing to compare, nothing to time. */
const findKey = sql(
  "keys.find",
  `select ${keyColumns} from rotor.api_keys
    where hash = $1 and revoked_at is null and (expires_at is null or expires_at > rotor.clock())`,
);
const listKeysOf = sql(
  "keys.list",
  `select ${keyColumns} from rotor.api_keys where workspace_id = $1 order by created_at, id`,
);
const revoke = sql(
  "keys.revoke",
  `update rotor.api_keys set revoked_at = coalesce(revoked_at, rotor.clock()) where workspace_id = $1 and id = $2 returning id`,
);
const insertSigning = sql(
  "signing.insert",
  "insert into rotor.signing_keys (id, workspace_id, sealed) values ($1, $2, $3)",
);
const listSigning = sql(
  "signing.list",
  `select id, sealed from rotor.signing_keys
    where workspace_id = $1 and (expires_at is null or expires_at > rotor.clock()) order by created_at desc, id desc`,
);
const readOne = sql("settings.read", "select value from rotor.settings where name = $1");
/** The first writer wins; everybody reads what is stored. */
const writeOnce = sql(
  "settings.write-once",
  `insert into rotor.settings (name, value) values ($1, $2) on conflict (name) do nothing`,
);
const overwrite = sql(
  "settings.write",
  `insert into rotor.settings (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value`,
);

/** False where the id is taken. */
export const createWorkspace = async (db: Queryable, id: string, name: string): Promise<boolean> =>
  (await db.query(insertWorkspace, [id, name])).length > 0;
export const listWorkspaces = (db: Queryable): Promise<{ id: string; name: string; createdAt: Date }[]> =>
  db.query(listAll);
/** False where it is unknown, or something unfinished is in it. */
export const deleteWorkspace = async (db: Queryable, id: string): Promise<boolean> =>
  (await db.query(removeWorkspace, [id])).length > 0;

export type NewApiKey = {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly hash: Buffer;
  readonly scopes: readonly Scope[];
  readonly expiresAt: Date | null;
};

export const insertApiKey = async (db: Queryable, key: NewApiKey): Promise<ApiKey> =>
  (await db.query<ApiKey>(insertKey, [key.id, key.workspace, key.name, key.hash, [...key.scopes], key.expiresAt]))[0]!;
/** Stores a key unless it is there. */
export const insertApiKeyOnce = (db: Queryable, key: NewApiKey): Promise<unknown> =>
  db.query(insertKeyOnce, [key.id, key.workspace, key.name, key.hash, [...key.scopes], key.expiresAt]);
export const findApiKey = async (db: Queryable, hash: Buffer): Promise<ApiKey | undefined> =>
  (await db.query<ApiKey>(findKey, [hash]))[0];
export const listApiKeys = (db: Queryable, workspace: string): Promise<ApiKey[]> =>
  db.query<ApiKey>(listKeysOf, [workspace]);
export const revokeApiKey = async (db: Queryable, workspace: string, id: string): Promise<boolean> =>
  (await db.query(revoke, [workspace, id])).length > 0;

export const insertSigningKey = (db: Queryable, id: string, workspace: string, sealed: string): Promise<unknown> =>
  db.query(insertSigning, [id, workspace, sealed]);
/** Active ones, the newest first. */
export const listSigningKeys = (db: Queryable, workspace: string): Promise<{ id: string; sealed: string }[]> =>
  db.query(listSigning, [workspace]);

export const readSetting = async (db: Queryable, name: string): Promise<string | undefined> =>
  (await db.query<{ value: string }>(readOne, [name]))[0]?.value;
/** Stores a value unless there is one; answers what is stored. */
export async function settingOnce(db: Queryable, name: string, value: string): Promise<string> {
  await db.query(writeOnce, [name, value]);
  return (await readSetting(db, name))!;
}
export const writeSetting = (db: Queryable, name: string, value: string): Promise<unknown> =>
  db.query(overwrite, [name, value]);
