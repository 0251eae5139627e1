/** First starts and later ones: of one node, of two at once, of a copy in another environment. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { adopt } from "./admin.js";
import { type BootstrapOptions, bootstrap } from "./bootstrap.js";
import { ConfigError, readConfig } from "./config.js";
import { parseKeys } from "./core/seal.js";
import { openDb } from "./store/db.js";
import { createKeyring } from "./store/keyring.js";
import { migrate, readMigrations } from "./store/migrate.js";
import { activeSigningKeys } from "./store/signing-keys.js";
import { writeSetting } from "./store/workspaces.js";
import { type TestDatabase, testDatabase } from "./testing-kit/database.js";

let database: TestDatabase;
beforeEach(async () => {
  database = await testDatabase();
});
afterEach(() => database.close());

const sealed = Buffer.alloc(32, 7).toString("base64");
const apiKey = (fill: number): string => `rt_ws_default_${Buffer.alloc(32, fill).toString("base64url")}`;
const signingKey = (fill: number): string => `whsec_${Buffer.alloc(32, fill).toString("base64")}`;

const start = (more: Partial<BootstrapOptions> = {}) =>
  bootstrap(database.db, {
    environment: "production",
    dev: false,
    bootstrapKey: apiKey(1),
    signingKey: signingKey(1),
    keys: parseKeys(sealed),
    ...more,
  });

test("a second start finds what the first one made", async () => {
  const first = await start();
  expect(await start()).toEqual(first);
  expect((await activeSigningKeys(database.db, [{ workspace: "default", queueId: null }]))[0]).toHaveLength(1);
});

test("another signing key, or another bootstrap key, stops with what to do", async () => {
  await start();
  await expect(start({ signingKey: signingKey(2) })).rejects.toThrow(
    /^ROTOR_SIGNING_KEY differs .* `rotor keys rotate`/,
  );
  await expect(start({ bootstrapKey: apiKey(2) })).rejects.toThrow(
    /^ROTOR_BOOTSTRAP_KEY differs .* `rotor keys create`/,
  );
  await expect(start({ bootstrapKey: "secret" })).rejects.toThrow(ConfigError);
  await expect(start({ signingKey: undefined, bootstrapKey: undefined })).resolves.toBeDefined();
});

test("a signing key that was rotated away is still known at a start, and does not sign", async () => {
  await start();
  const keyring = createKeyring(database.db, parseKeys(sealed));
  await keyring.replaceSigning("default", undefined, signingKey(2), 0);
  await start();
  await start({ signingKey: signingKey(2) });
  expect(await keyring.signing("default")).toEqual([signingKey(2)]);
});

test("nodes that start at once on an empty schema all start, and agree", async () => {
  const [one, ...others] = await Promise.all(Array.from({ length: 5 }, () => start()));
  for (const other of others) expect(other).toEqual(one);
  const keys = await database.db.script("select 1 from rotor.api_keys");
  expect(keys.rows).toHaveLength(1);
});

test("nodes that migrate at once on a schema that is not there all find it migrated", async () => {
  const schema = `${database.schema}_new`;
  const dbs = [1, 2, 3].map(() => openDb({ url: database.url, schema }));
  const applied = await Promise.all(dbs.map((db) => migrate(db)));
  // Each file by one of them; which, is chance.
  expect(applied.flat().sort()).toEqual((await readMigrations()).map(({ name }) => name));
  await dbs[0]!.script(`drop schema ${schema} cascade`);
  for (const db of dbs) await db.close();
});

test("a database of another environment is held until it is adopted", async () => {
  await start();
  expect(await start({ environment: "staging" })).toMatchObject({ held: true, environment: "production" });
  const config = readConfig(
    {
      DATABASE_URL: database.url,
      ROTOR_SCHEMA: database.schema,
      ROTOR_ENCRYPTION_KEYS: sealed,
      ROTOR_ENVIRONMENT: "staging",
    },
    { mode: "start" },
  );
  await writeSetting(database.db, "held", "true");
  await adopt(config, "release");
  expect(await start({ environment: "staging" })).toMatchObject({ held: false, environment: "staging" });
});
