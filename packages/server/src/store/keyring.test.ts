/** Signing keys of many queues, read for all deliveries that begin together. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseKeys } from "../core/seal.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, WORKSPACE } from "../testing-kit/fixtures.js";
import type { Statement, Value } from "./db.js";
import { createKeyring } from "./keyring.js";

const keys = parseKeys(Buffer.alloc(32, 7).toString("base64"));
const QUEUES = 30;

let database: TestDatabase;
let queueIds: number[];
beforeAll(async () => {
  database = await testDatabase();
  const keyring = createKeyring(database.db, keys);
  await keyring.createWorkspace(WORKSPACE, "Ours", "of the workspace");
  queueIds = [];
  for (let n = 0; n < QUEUES; n++) {
    const { id } = await callbackQueue(database.db, `q${n}`);
    queueIds.push(id);
    // Every third goes on with the workspace's.
    if (n % 3 > 0) await keyring.replaceSigning(WORKSPACE, id, `of queue ${n}`, 0);
  }
});
afterAll(() => database.close());

test("deliveries to many queues that begin together share a look, and each is signed by its own queue's key", async () => {
  let statements = 0;
  const keyring = createKeyring(
    {
      ...database.db,
      query<Row>(statement: Statement, values?: readonly Value[]) {
        statements++;
        return database.db.query<Row>(statement, values);
      },
    },
    keys,
  );
  // Two deliveries of each queue, as they come in a claim of several.
  const asked = [...queueIds, ...queueIds];
  const signing = await Promise.all(asked.map((id) => keyring.signing(WORKSPACE, id)));
  const wanted = queueIds.map((_, n) => [n % 3 > 0 ? `of queue ${n}` : "of the workspace"]);
  expect(signing).toEqual([...wanted, ...wanted]);
  expect(statements).toBe(1);
  await Promise.all(asked.map((id) => keyring.signing(WORKSPACE, id)));
  expect(statements).toBe(1);
});
