/** Signing keys at rest: of a workspace, or of one queue. Sealed texts only; they are opened in `keyring.ts`. */
import { limits } from "../core/limits.js";
import { type Db, hot, type Queryable, sql } from "./db.js";

/** A key that signs now. Of several, the newest has no `expiresAt`: the others are on their way out. */
export type SigningKey = {
  readonly id: string;
  readonly sealed: string;
  /** Null: the workspace's. */
  readonly queueId: number | null;
  readonly expiresAt: Date | null;
};

const columns = `id, sealed, queue_id as "queueId", expires_at as "expiresAt"`;

const active = hot(
  "signing.active",
  `select item.place::int, signing.*
     from unnest($1::text[], $2::int[]) with ordinality as item (workspace, queue, place)
    cross join lateral (
      select ${columns}, created_at from rotor.signing_keys where workspace_id = item.workspace and queue_id is null
      union all
      select ${columns}, created_at from rotor.signing_keys where workspace_id = item.workspace and queue_id = item.queue
    ) signing
    where signing."expiresAt" is null or signing."expiresAt" > rotor.clock()
    order by item.place, signing.created_at desc, signing.id desc`,
);

/** Retired ones too: a key that a server was once started with is still known. */
const ever = sql(
  "signing.ever",
  `select ${columns} from rotor.signing_keys where workspace_id = $1 and queue_id is null order by created_at desc, id desc`,
);

const insert = sql(
  "signing.insert",
  "insert into rotor.signing_keys (id, workspace_id, queue_id, sealed) values ($1, $2, $3, $4)",
);

/** Two rotations at once would both count before either wrote. */
const lock = sql("signing.lock", "select id from rotor.workspaces where id = $1 for no key update");

/** None lives longer than it would have. */
const retire = sql(
  "signing.retire",
  `update rotor.signing_keys
      set expires_at = least(coalesce(expires_at, 'infinity'), rotor.clock() + $3 * interval '1 millisecond')
    where workspace_id = $1 and queue_id is not distinct from $2 and (expires_at is null or expires_at > rotor.clock())
   returning id, expires_at > rotor.clock() as signs`,
);

/** Whose keys: a queue's with its workspace's, or the workspace's alone where `queueId` is null. */
export type Owner = { readonly workspace: string; readonly queueId: number | null };

/** All that sign for each of these, the newest first. */
export async function activeSigningKeys(db: Queryable, owners: readonly Owner[]): Promise<SigningKey[][]> {
  const found: SigningKey[][] = owners.map(() => []);
  const rows = await db.query<SigningKey & { readonly place: number }>(active, [
    owners.map(({ workspace }) => workspace),
    owners.map(({ queueId }) => queueId),
  ]);
  for (const row of rows) found[row.place - 1]!.push(row);
  return found;
}

/** All that the workspace itself ever had, the newest first. */
export const pastSigningKeys = (db: Queryable, workspace: string): Promise<SigningKey[]> => db.query(ever, [workspace]);

export type NewSigningKey = {
  readonly id: string;
  readonly workspace: string;
  readonly queueId: number | null;
  readonly sealed: string;
};

export const insertSigningKey = (db: Queryable, key: NewSigningKey): Promise<unknown> =>
  db.query(insert, [key.id, key.workspace, key.queueId, key.sealed]);

/** Thrown where so many keys sign already that one more would make the header too long. */
export class TooManySigningKeys extends Error {}

/**
 * The new key signs from now on; those before it for `overlapMs` more, or until they would have ended anyway. Without a
 * new key they only end.
 * @throws TooManySigningKeys
 */
export async function replaceSigningKey(
  db: Db,
  owner: Owner,
  next: { readonly id: string; readonly sealed: string } | undefined,
  overlapMs: number,
): Promise<void> {
  await db.transact(async (t) => {
    await t.query(lock, [owner.workspace]);
    const retired = await t.query<{ signs: boolean }>(retire, [owner.workspace, owner.queueId, overlapMs]);
    if (next === undefined) return;
    if (retired.filter((key) => key.signs).length > limits.signingKeys)
      throw new TooManySigningKeys(
        `${limits.signingKeys} older signing keys sign along already. Wait until one has ended, or end them all with an overlap of "0s".`,
      );
    await insertSigningKey(t, { ...owner, ...next });
  });
}
