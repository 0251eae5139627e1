/** What an operator does to a database without a running server: migrate, make a key, adopt, look for broken invariants. */
import { bootstrap, DEFAULT_WORKSPACE, sealKeysOf } from "./bootstrap.js";
import type { Config } from "./config.js";
import { createApiKey } from "./http/auth.js";
import { startEmbedded } from "./postgres/embedded.js";
import { inspectStore } from "./postgres/guard.js";
import { abandonAll } from "./store/abandon.js";
import { audit } from "./store/audit.js";
import { type Db, openDb } from "./store/db.js";
import { ensureProducer } from "./store/inbox-role.js";
import { type Violation, violations } from "./store/invariants.js";
import { migrate as migrateDb } from "./store/migrate.js";
import { reseal as resealDb } from "./store/reseal.js";
import { type Unindexed, unindexedWaits } from "./store/unindexed.js";
import { type Scope, writeSetting } from "./store/workspaces.js";

/** Opens the configured store, starting an embedded Postgres where that is what is configured, and closes it after. */
export async function withStore<T>(config: Config, work: (db: Db) => Promise<T>): Promise<T> {
  const embedded = config.databaseUrl === undefined ? await startEmbedded({ dataDir: config.dataDir! }) : undefined;
  const db = openDb({ url: config.databaseUrl ?? embedded!.url, schema: config.schema });
  try {
    await inspectStore(() => db.connect());
    return await work(db);
  } finally {
    await db.close();
    await embedded?.stop();
  }
}

/** Applies what is missing; answers the names of what it applied. */
export const migrate = (config: Config): Promise<string[]> =>
  withStore(config, async (db) => {
    const applied = await migrateDb(db);
    // Where it may not, a start says what to run.
    await ensureProducer(db);
    return applied;
  });

/** A new API key, shown once. The database is brought up to date and bootstrapped first, so that this may be the first command. */
export const makeKey = (
  config: Config,
  name: string,
  scopes: readonly Scope[],
  workspace = DEFAULT_WORKSPACE,
): Promise<string> =>
  withStore(config, async (db) => {
    await migrateDb(db);
    const keys = sealKeysOf(config);
    const { environment, dev } = { environment: config.environment, dev: config.mode === "dev" };
    await bootstrap(db, { environment, dev, bootstrapKey: undefined, signingKey: config.signingKey, keys });
    const { key, row } = await createApiKey(db, workspace, name, scopes);
    await noted(db, "key.create", row.id, workspace);
    return key;
  });

/** In the audit: who has the database in hand needs no key. */
const noted = (db: Db, action: string, subject: string, workspace = DEFAULT_WORKSPACE): Promise<unknown> =>
  audit(db, { workspace, actor: "operator", action, subject, details: {} });

/** Seals what is secret with the newest key of `ROTOR_ENCRYPTION_KEYS`, so that the others can go. Answers how much of it. */
export const reseal = (config: Config): Promise<number> => withStore(config, (db) => resealDb(db, sealKeysOf(config)));

/**
 * Gives the database to the configured environment; servers of it that are held see it within a second. `release`: what
 * waits in it is delivered; `cancel-all`: what is unfinished is cancelled first. Answers how many were cancelled.
 */
export const adopt = (config: Config, mode: "release" | "cancel-all"): Promise<number> =>
  withStore(config, async (db) => {
    await migrateDb(db);
    const cancelled = mode === "cancel-all" ? await abandonAll(db) : 0;
    await writeSetting(db, "environment", config.environment);
    await writeSetting(db, "held", "false");
    await noted(db, `environment.${mode}`, config.environment);
    return cancelled;
  });

/** The invariants that are broken now, none if all is well; and what is sound but may become slow. */
export type Diagnosis = { readonly violations: readonly Violation[]; readonly unindexed: readonly Unindexed[] };

/** Looks at the whole store. */
export const doctor = (config: Config): Promise<Diagnosis> =>
  withStore(config, async (db) => ({ violations: await violations(db), unindexed: await unindexedWaits(db) }));
