/** The composition root: configuration → store → loops → HTTP. Nothing else knows all the parts. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { newSecret } from "@rotorsh/sdk/signature";
import { pino } from "pino";
import { bootstrap, sealContext, sealKeysOf } from "./bootstrap.js";
import { type Config, ConfigError } from "./config.js";
import { newId } from "./core/ids.js";
import { limits } from "./core/limits.js";
import { open, seal } from "./core/seal.js";
import { parsePolicy } from "./delivery/guard.js";
import { Pools } from "./delivery/pools.js";
import { createEngine } from "./engine.js";
import { createFeed } from "./feed.js";
import { createApp } from "./http/app.js";
import { createLoop } from "./loops/loop.js";
import { type Embedded, startEmbedded } from "./postgres/embedded.js";
import { checkStore } from "./postgres/guard.js";
import { openDb } from "./store/db.js";
import { migrate } from "./store/migrate.js";
import { createWorkspace, insertSigningKey, listSigningKeys } from "./store/workspaces.js";

export type Rotor = {
  /** Where it listens: `http://127.0.0.1:7686`. */
  readonly url: string;
  /** Its store, in words. */
  readonly store: string;
  readonly held: boolean;
  /** The database's environment. */
  readonly environment: string;
  /** Ends gently: claims no more, waits for what is in hand (30 s at most), gives the rest back, stops an own Postgres. */
  stop(): Promise<void>;
};

export const VERSION = "0.1.0";

const DRAIN_MS = 30_000;
/** How often the embedded Postgres is looked after: one look at its process. */
const KEEP_MS = 500;
/** Signing keys are read anew this often: a rotation overlaps for far longer. */
const SECRETS_KEPT_MS = 5_000;

/** Starts a server. Throws a ConfigError, or what stands in the way of its store, with a sentence that says what to do. */
export async function startRotor(config: Config): Promise<Rotor> {
  const log = pino(
    {
      level: config.logLevel,
      base: { node: config.nodeLabel },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: plainError },
    },
    pino.destination(2),
  );
  const onError = (error: unknown): void =>
    log.error({ err: error }, error instanceof Error ? error.message : String(error));
  const embedded: Embedded | undefined =
    config.databaseUrl === undefined
      ? await startEmbedded({ dataDir: config.dataDir!, log: (line) => log.info(line) })
      : undefined;
  const closers: (() => Promise<void>)[] = embedded ? [() => embedded.stop()] : [];
  if (embedded !== undefined) {
    // Nobody else would: an operator's own Postgres has its supervisor, this one has us.
    const keeper = createLoop({
      onError,
      tick: async () => {
        if (await embedded.revive()) log.warn("Postgres had died and was started again");
        return KEEP_MS;
      },
    });
    keeper.start();
    closers.push(() => keeper.stop());
  }
  const closeAll = async (): Promise<void> => {
    // What fails to close must not keep the rest, such as our own Postgres, from it.
    for (const close of closers.reverse()) await close().catch(onError);
  };
  try {
    const keys = sealKeysOf(config);
    const db = openDb({ url: config.databaseUrl ?? embedded!.url, schema: config.schema, onError });
    closers.push(() => db.close());
    const client = await db.connect();
    try {
      await checkStore(client);
    } finally {
      await client.end();
    }
    const applied = await migrate(db);
    if (applied.length > 0) log.info({ applied }, "migrated");
    const { tokenSecret, held, environment } = await bootstrap(db, {
      environment: config.environment,
      dev: config.mode === "dev",
      bootstrapKey: config.bootstrapKey,
      signingKey: config.signingKey,
      keys,
    });

    const policy = parsePolicy(config.allowPrivateUrls);
    const pools = new Pools({ policy, connections: 50 });
    closers.push(() => pools.close());
    const feed = createFeed();
    const store = embedded
      ? `embedded Postgres in ${config.dataDir}`
      : `Postgres at ${hostOf(config.databaseUrl!)}, schema ${config.schema}`;
    const http = createServer();
    await listen(http, config.port, config.host);
    closers.push(() => closeServer(http));
    const { port } = http.address() as AddressInfo;
    const url = `http://${config.host.includes(":") ? `[${config.host}]` : config.host}:${port}`;

    const kept = new Map<string, { readonly at: number; readonly secrets: readonly string[] }>();
    const secrets = async (workspace: string): Promise<readonly string[]> => {
      const known = kept.get(workspace);
      if (known !== undefined && performance.now() - known.at < SECRETS_KEPT_MS) return known.secrets;
      const read = (await listSigningKeys(db, workspace)).map((row) => open(keys, row.sealed, sealContext(workspace)));
      kept.set(workspace, { at: performance.now(), secrets: read });
      return read;
    };
    const { engine, start, stop } = createEngine({
      db,
      pools,
      policy,
      feed,
      tokenSecret,
      secrets,
      held,
      nodeLabel: config.nodeLabel,
      config: { dev: config.mode === "dev", publicUrl: config.publicUrl ?? url, environment, version: VERSION, store },
      createWorkspace: async (id, name) => {
        if (!(await createWorkspace(db, id, name))) return false;
        await insertSigningKey(db, newId(), id, seal(keys, newSecret(), sealContext(id)));
        return true;
      },
      onError,
    });
    const app = createApp(engine, { log });
    http.on("request", getRequestListener(app.fetch));
    closers.push(() => stop(DRAIN_MS));
    await start();
    if (held)
      log.warn(
        `this database belongs to the environment ${environment}, not ${config.environment}: nothing is delivered until \`rotor adopt\``,
      );

    let stopped: Promise<void> | undefined;
    return {
      url,
      store,
      held,
      environment,
      stop: () => {
        stopped ??= closeAll();
        return stopped;
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** What of an error is logged: a driver's error drags its whole connection along, keys and all. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack } = error;
  const { code, detail, constraint } = error as Error & { code?: unknown; detail?: unknown; constraint?: unknown };
  return { name, message, code, detail, constraint, stack };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  // Deliveries answer for hours; headers and whole requests do not take that long.
  server.requestTimeout = 60_000;
  server.headersTimeout = 15_000;
  server.keepAliveTimeout = 30_000;
  server.maxHeadersCount = 100;
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "EADDRINUSE"
          ? new ConfigError(`Port ${port} is taken. Stop what listens there, or set ROTOR_PORT.`)
          : error,
      ),
    );
    server.listen(port, host, () => resolve());
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // Long polls and streams would keep it open.
    setTimeout(() => server.closeAllConnections(), 500).unref();
  });
}

const hostOf = (databaseUrl: string): string => {
  try {
    return new URL(databaseUrl).host || "a local socket";
  } catch {
    // A form that only the driver reads; its parts may be secret.
    return "DATABASE_URL";
  }
};

export { limits };
