/** Seals again, with the newest encryption key, what older ones sealed; after that the older ones can be thrown away. */
import { isSealedByFirst, open, type SealKeys, seal } from "../core/seal.js";
import { type Queryable, type Statement, sql } from "./db.js";
import { secretContext, signingContext } from "./keyring.js";

/** What the token secret is sealed for. */
export const TOKEN_CONTEXT = "token_secret";

const signing = sql(
  "reseal.signing",
  `select id::text as id, workspace_id as workspace, queue_id as "queueId", sealed from rotor.signing_keys`,
);
const secrets = sql("reseal.secrets", "select name as id, workspace_id as workspace, sealed from rotor.secrets");
const token = sql(
  "reseal.token",
  "select name as id, '' as workspace, value as sealed from rotor.settings where name = 'token_secret'",
);

/** Unless it was changed since it was read: then it is the newest key's already. */
const putSigning = sql(
  "reseal.put-signing",
  "update rotor.signing_keys set sealed = $4 where workspace_id = $1 and id = $2::uuid and sealed = $3 returning 1",
);
const putSecret = sql(
  "reseal.put-secret",
  "update rotor.secrets set sealed = $4 where workspace_id = $1 and name = $2 and sealed = $3 returning 1",
);
const putToken = sql(
  "reseal.put-token",
  "update rotor.settings set value = $4 where $1 = '' and name = $2 and value = $3 returning 1",
);

type Row = {
  readonly id: string;
  readonly workspace: string;
  readonly queueId: number | null;
  readonly sealed: string;
};

const kinds: readonly (readonly [list: Statement, put: Statement, context: (row: Row) => string])[] = [
  [token, putToken, () => TOKEN_CONTEXT],
  [signing, putSigning, (row) => signingContext(row.workspace, row.queueId)],
  [secrets, putSecret, (row) => secretContext(row.workspace, row.id)],
];

/** Answers how many were sealed again. Throws at the first that none of the keys opens; those before it are done. */
export async function reseal(db: Queryable, keys: SealKeys): Promise<number> {
  let count = 0;
  for (const [list, put, contextOf] of kinds) {
    for (const row of await db.query<Row>(list)) {
      if (isSealedByFirst(keys, row.sealed)) continue;
      const context = contextOf(row);
      const sealed = seal(keys, open(keys, row.sealed, context), context);
      count += (await db.query(put, [row.workspace, row.id, row.sealed, sealed])).length;
    }
  }
  return count;
}
