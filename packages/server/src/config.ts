/** The environment, read once into one frozen object. Nothing else reads `process.env`. */
import { hostname } from "node:os";
import { databaseUrlOf } from "./core/database-url.js";
import { readRetention, type SystemRetention } from "./core/retention.js";

export type Environment = Readonly<Record<string, string | undefined>>;

export type Config = {
  /** `dev`: embedded Postgres, no key needed on loopback, private addresses allowed. */
  readonly mode: "dev" | "start";
  /** Undefined: the embedded Postgres under `dataDir`. */
  readonly databaseUrl: string | undefined;
  /** Where the embedded Postgres and local state live; undefined with a database of the user's. */
  readonly dataDir: string | undefined;
  readonly schema: string;
  readonly port: number;
  readonly host: string;
  /** By which apps reach this server; made from host and port where it is not given. */
  readonly publicUrl: string | undefined;
  readonly environment: string;
  readonly bootstrapKey: string | undefined;
  readonly signingKey: string | undefined;
  readonly allowPrivateUrls: string;
  readonly encryptionKeys: string | undefined;
  readonly logLevel: string;
  readonly nodeLabel: string;
  /** How long finished things are kept. */
  readonly retention: SystemRetention;
  /** Where a fault run makes this server fail; see `failpoints.ts`. Nobody else sets it. */
  readonly failpoints: string;
};

/** A setting that cannot be; the message says what to write. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export const NO_KEYS =
  "Set ROTOR_ENCRYPTION_KEYS: signing keys and secrets are stored encrypted with it. Make one with `openssl rand -base64 32`, and keep it as long as the database.";

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);

export type ConfigOptions = {
  readonly mode: "dev" | "start";
  /** `rotor start --embedded`. */
  readonly embedded?: boolean;
  readonly port?: number;
  /** Commands that open nothing sealed need no keys. Default true. */
  readonly sealed?: boolean;
};

/** Throws a ConfigError for settings that cannot be meant. */
export function readConfig(env: Environment, options: ConfigOptions): Config {
  const dev = options.mode === "dev";
  const databaseUrl = env.DATABASE_URL ? databaseUrlOf(env.DATABASE_URL) : undefined;
  const dataDir =
    env.ROTOR_DATA_DIR || (databaseUrl === undefined && (dev || options.embedded === true) ? ".rotor" : undefined);
  if (!dev && databaseUrl === undefined && dataDir === undefined) {
    throw new ConfigError(
      "Name a store: set DATABASE_URL to a Postgres 15 or later, or keep everything in a folder with ROTOR_DATA_DIR=/var/lib/rotor or --embedded. (For trying things out, `rotor dev` needs neither.)",
    );
  }
  const host = env.ROTOR_HOST || "127.0.0.1";
  const port = options.port ?? number("ROTOR_PORT", env.ROTOR_PORT, 7686, 0, 65_535);
  const publicUrl = env.ROTOR_PUBLIC_URL?.replace(/\/+$/, "") || undefined;
  if (publicUrl === undefined && !LOOPBACK.has(host)) {
    throw new ConfigError(
      `ROTOR_HOST=${host} is reached from outside: set ROTOR_PUBLIC_URL to the address by which apps reach this server.`,
    );
  }
  if (publicUrl !== undefined && !/^https?:\/\//.test(publicUrl))
    throw new ConfigError(`ROTOR_PUBLIC_URL must begin with http:// or https://; got ${publicUrl}.`);
  const encryptionKeys = env.ROTOR_ENCRYPTION_KEYS || undefined;
  if (encryptionKeys === undefined && dataDir === undefined && options.sealed !== false) throw new ConfigError(NO_KEYS);
  return Object.freeze({
    mode: options.mode,
    databaseUrl,
    dataDir,
    schema: env.ROTOR_SCHEMA || "rotor",
    port,
    host,
    publicUrl,
    environment: env.ROTOR_ENVIRONMENT || (dev ? "development" : "production"),
    bootstrapKey: env.ROTOR_BOOTSTRAP_KEY || undefined,
    signingKey: env.ROTOR_SIGNING_KEY || undefined,
    allowPrivateUrls: env.ROTOR_ALLOW_PRIVATE_URLS ?? (dev ? "loopback,private" : ""),
    encryptionKeys,
    logLevel: env.ROTOR_LOG_LEVEL || "info",
    nodeLabel: env.ROTOR_NODE_ID || hostname(),
    retention: retention(env.ROTOR_RETENTION),
    failpoints: env.ROTOR_FAILPOINTS || "",
  });
}

function retention(text = ""): SystemRetention {
  try {
    return readRetention(text);
  } catch (error) {
    throw new ConfigError(`ROTOR_RETENTION: ${(error as Error).message}.`);
  }
}

function number(name: string, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new ConfigError(`${name} must be a whole number from ${min} to ${max}; got ${text}.`);
  return value;
}
