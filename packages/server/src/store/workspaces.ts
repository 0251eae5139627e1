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
/**
 * A new key beside an old one that is good, with its name, its scopes and as long a life as it had; the old one works for
 * the overlap more, or until it would have ended anyway.
 */
const rotate = sql(
  "keys.rotate",
  `with old as (
     update rotor.api_keys
        set expires_at = least(coalesce(expires_at, 'infinity'), rotor.clock() + $5 * interval '1 millisecond')
      where workspace_id = $1 and id = $2 and revoked_at is null and (expires_at is null or expires_at > rotor.clock())
     returning id
   )
   insert into rotor.api_keys (id, workspace_id, name, hash, scopes, expires_at)
   select $3, before.workspace_id, before.name, $4, before.scopes, rotor.clock() + (before.expires_at - before.created_at)
     from rotor.api_keys before join old using (id)
   returning ${keyColumns}`,
);
const findKeyById = sql("keys.one", `select ${keyColumns} from rotor.api_keys where workspace_id = $1 and id = $2`);
const revoke = sql(
  "keys.revoke",
  `update rotor.api_keys set revoked_at = coalesce(revoked_at, rotor.clock()) where workspace_id = $1 and id = $2 returning id`,
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
export const getApiKey = async (db: Queryable, workspace: string, id: string): Promise<ApiKey | undefined> =>
  (await db.query<ApiKey>(findKeyById, [workspace, id]))[0];
/** The new key's row; undefined where the old one is unknown, revoked or expired. */
export const rotateApiKey = async (
  db: Queryable,
  workspace: string,
  id: string,
  next: Pick<NewApiKey, "id" | "hash">,
  overlapMs: number,
): Promise<ApiKey | undefined> => (await db.query<ApiKey>(rotate, [workspace, id, next.id, next.hash, overlapMs]))[0];
export const revokeApiKey = async (db: Queryable, workspace: string, id: string): Promise<boolean> =>
  (await db.query(revoke, [workspace, id])).length > 0;

export const readSetting = async (db: Queryable, name: string): Promise<string | undefined> =>
  (await db.query<{ value: string }>(readOne, [name]))[0]?.value;
/** Whether nothing may be delivered here: the database belongs to another environment, or was told to wait. */
export async function isHeld(db: Queryable, environment: string): Promise<boolean> {
  return (await readSetting(db, "environment")) !== environment || (await readSetting(db, "held")) === "true";
}
/** Stores a value unless there is one; answers what is stored. */
export async function settingOnce(db: Queryable, name: string, value: string): Promise<string> {
  await db.query(writeOnce, [name, value]);
  return (await readSetting(db, name))!;
}
export const writeSetting = (db: Queryable, name: string, value: string): Promise<unknown> =>
  db.query(overwrite, [name, value]);
