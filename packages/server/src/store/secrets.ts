/** Secrets at rest: a name and a sealed value. Opened in `keyring.ts`, and nowhere shown. */
import { limits } from "../core/limits.js";
import { type Db, type Queryable, sql } from "./db.js";

/** What may be known of a secret. */
export type Secret = { readonly name: string; readonly createdAt: Date; readonly updatedAt: Date };

export type SealedSecret = { readonly name: string; readonly sealed: string };

const columns = `name, created_at as "createdAt", updated_at as "updatedAt"`;

const list = sql("secrets.list", `select ${columns} from rotor.secrets where workspace_id = $1 order by name`);
const sealedOnes = sql("secrets.sealed", "select name, sealed from rotor.secrets where workspace_id = $1");
/** Two at once would both count before either wrote. */
const lock = sql("secrets.lock", "select id from rotor.workspaces where id = $1 for no key update");
const others = sql(
  "secrets.others",
  "select count(*)::int as others from rotor.secrets where workspace_id = $1 and name <> $2",
);
/** No row where the name is taken and is not to be changed. A row that no transaction has ended yet was made just now. */
const put = sql(
  "secrets.put",
  `insert into rotor.secrets (workspace_id, name, sealed) values ($1, $2, $3)
   on conflict (workspace_id, name) do update set sealed = excluded.sealed, updated_at = rotor.clock() where $4::boolean
   returning ${columns}, (xmax = 0) as made`,
);
const remove = sql("secrets.remove", "delete from rotor.secrets where workspace_id = $1 and name = $2 returning name");

export const listSecrets = (db: Queryable, workspace: string): Promise<Secret[]> => db.query(list, [workspace]);

export const sealedSecrets = (db: Queryable, workspace: string): Promise<SealedSecret[]> =>
  db.query(sealedOnes, [workspace]);

export type PutSecret =
  | { readonly kind: "made" | "changed"; readonly secret: Secret }
  | { readonly kind: "taken" | "too-many" };

/** Stores a value; `mayChange`: in place of another one. */
export async function putSecret(
  db: Db,
  workspace: string,
  { name, sealed }: SealedSecret,
  mayChange: boolean,
): Promise<PutSecret> {
  return db.transact(async (t) => {
    await t.query(lock, [workspace]);
    const [count] = await t.query<{ others: number }>(others, [workspace, name]);
    if (count!.others >= limits.secrets) return { kind: "too-many" };
    const [row] = await t.query<Secret & { made: boolean }>(put, [workspace, name, sealed, mayChange]);
    if (row === undefined) return { kind: "taken" };
    const { made, ...secret } = row;
    return { kind: made ? "made" : "changed", secret };
  });
}

/** False where there is none. */
export const deleteSecret = async (db: Queryable, workspace: string, name: string): Promise<boolean> =>
  (await db.query(remove, [workspace, name])).length > 0;
