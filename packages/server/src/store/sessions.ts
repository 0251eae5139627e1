/** Logins of people. A session is as good as the key that it was begun with: what ends one ends the other. */
import { type Queryable, sql } from "./db.js";
import type { ApiKey } from "./workspaces.js";

export type Session = { readonly key: ApiKey; readonly expiresAt: Date };

const insert = sql(
  "sessions.insert",
  `insert into rotor.sessions (hash, workspace_id, key_id, expires_at)
   select $1, key.workspace_id, key.id, least(key.expires_at, rotor.clock() + $3 * interval '1 millisecond')
     from rotor.api_keys key
    where key.id = $2 and key.revoked_at is null and (key.expires_at is null or key.expires_at > rotor.clock())
   returning expires_at as "expiresAt"`,
);

/** A session that is neither over nor its key's revoked or expired, by the hash of all of its token. */
const find = sql(
  "sessions.find",
  `select session.expires_at as "sessionExpiresAt", key.id, key.workspace_id as workspace, key.name, key.scopes, key.created_at as "createdAt",
          key.expires_at as "expiresAt", key.revoked_at as "revokedAt"
     from rotor.sessions session join rotor.api_keys key on key.id = session.key_id
    where session.hash = $1 and session.expires_at > rotor.clock()
      and key.revoked_at is null and (key.expires_at is null or key.expires_at > rotor.clock())`,
);

const remove = sql("sessions.remove", "delete from rotor.sessions where hash = $1");

/** When it ends; undefined where the key has ended meanwhile. */
export const insertSession = async (
  db: Queryable,
  hash: Buffer,
  keyId: string,
  lifeMs: number,
): Promise<Date | undefined> => (await db.query<{ expiresAt: Date }>(insert, [hash, keyId, lifeMs]))[0]?.expiresAt;

export async function findSession(db: Queryable, hash: Buffer): Promise<Session | undefined> {
  const [row] = await db.query<ApiKey & { sessionExpiresAt: Date }>(find, [hash]);
  if (row === undefined) return undefined;
  const { sessionExpiresAt, ...key } = row;
  return { key, expiresAt: sessionExpiresAt };
}

export const removeSession = (db: Queryable, hash: Buffer): Promise<unknown> => db.query(remove, [hash]);
