/** The first start of a database: its environment, its first workspace, its keys. Later starts check that they agree. */
import { randomBytes } from "node:crypto";
import { DEVELOPMENT_SIGNING_KEY } from "@rotorsh/sdk/protocol";
import { newSecret } from "@rotorsh/sdk/signature";
import { type Config, ConfigError, NO_KEYS } from "./config.js";
import { hashApiKey, workspaceOfKey } from "./core/api-key.js";
import { newId } from "./core/ids.js";
import { open, parseKeys, type SealKeys, seal } from "./core/seal.js";
import { localEncryptionKey } from "./postgres/local-state.js";
import type { Db } from "./store/db.js";
import { signingContext } from "./store/keyring.js";
import { TOKEN_CONTEXT } from "./store/reseal.js";
import { insertSigningKey, pastSigningKeys } from "./store/signing-keys.js";
import { createWorkspace, findApiKey, insertApiKeyOnce, isHeld, settingOnce } from "./store/workspaces.js";

export type BootstrapOptions = {
  readonly environment: string;
  readonly dev: boolean;
  readonly bootstrapKey: string | undefined;
  readonly signingKey: string | undefined;
  readonly keys: SealKeys;
};

export type Bootstrapped = {
  /** Signs capabilities; one for the schema. */
  readonly tokenSecret: string;
  /** The database belongs to another environment: nothing is delivered until it is adopted. */
  readonly held: boolean;
  /** The environment that the database belongs to. */
  readonly environment: string;
};

export const DEFAULT_WORKSPACE = "default";

/** The keys that seal what is secret: those of the environment, else the data folder's own. */
export function sealKeysOf(config: Config): SealKeys {
  if (config.encryptionKeys !== undefined) return parseKeys(config.encryptionKeys);
  if (config.dataDir === undefined) throw new ConfigError(NO_KEYS);
  return parseKeys(localEncryptionKey(config.dataDir));
}

export async function bootstrap(db: Db, options: BootstrapOptions): Promise<Bootstrapped> {
  const environment = await settingOnce(db, "environment", options.environment);
  const tokenSecret = open(
    options.keys,
    await settingOnce(db, "token_secret", seal(options.keys, randomBytes(32).toString("base64"), TOKEN_CONTEXT)),
    TOKEN_CONTEXT,
  );
  await createWorkspace(db, DEFAULT_WORKSPACE, "Default");
  await ensureSigningKey(db, DEFAULT_WORKSPACE, options);
  if (options.bootstrapKey !== undefined) await ensureApiKey(db, options.bootstrapKey);
  return { tokenSecret, held: await isHeld(db, options.environment), environment };
}

/** Two nodes that start at once may both insert; the newest active one signs, and both verify. */
async function ensureSigningKey(db: Db, workspace: string, { dev, signingKey, keys }: BootstrapOptions): Promise<void> {
  const wanted = signingKey ?? (dev ? DEVELOPMENT_SIGNING_KEY : undefined);
  const context = signingContext(workspace, null);
  const stored = await pastSigningKeys(db, workspace);
  if (stored.length === 0) {
    const sealed = seal(keys, wanted ?? newSecret(), context);
    await insertSigningKey(db, { id: newId(), workspace, queueId: null, sealed });
    return;
  }
  // One that was rotated away is no other one: a server that still names it must come up again after a crash.
  const isKnown = signingKey === undefined || stored.some((row) => open(keys, row.sealed, context) === signingKey);
  if (!isKnown) {
    throw new ConfigError(
      "ROTOR_SIGNING_KEY differs from the signing key of this database. Unset the variable, or set it to that key. To change the key, run `rotor keys rotate`: the old one stays good meanwhile.",
    );
  }
}

async function ensureApiKey(db: Db, key: string): Promise<void> {
  const workspace = workspaceOfKey(key);
  if (workspace !== DEFAULT_WORKSPACE) {
    throw new ConfigError(
      `ROTOR_BOOTSTRAP_KEY must look like rt_ws_${DEFAULT_WORKSPACE}_ and 43 characters of base64url (32 random bytes).`,
    );
  }
  if ((await findApiKey(db, hashApiKey(key))) !== undefined) return;
  const fingerprint = hashApiKey(key).toString("hex");
  if ((await settingOnce(db, "bootstrap_key", fingerprint)) !== fingerprint) {
    throw new ConfigError(
      "ROTOR_BOOTSTRAP_KEY differs from the one that this database was first started with. Make another key with `rotor keys create`, or unset the variable.",
    );
  }
  await insertApiKeyOnce(db, {
    id: newId(),
    workspace,
    name: "bootstrap",
    hash: hashApiKey(key),
    scopes: ["read", "write", "approve", "admin", "workspaces"],
    expiresAt: null,
  });
}
