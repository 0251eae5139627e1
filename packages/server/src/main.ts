/** The composition root: configuration → store → loops → HTTP. Nothing else knows all the parts. */
import { createServer, type Server, type ServerOptions } from "node:http";
import type { AddressInfo } from "node:net";
import { type Logger, pino } from "pino";
import { bootstrap, sealKeysOf } from "./bootstrap.js";
import { type Config, ConfigError, readConfig } from "./config.js";
import { limits } from "./core/limits.js";
import { deliver } from "./delivery/deliver.js";
import { type Policy, parsePolicy } from "./delivery/guard.js";
import type { InProcessApp } from "./delivery/in-process.js";
import { ownPostgres, ownService } from "./delivery/own-services.js";
import { Pools, type PoolsOptions } from "./delivery/pools.js";
import { createEngine } from "./engine.js";
import { createFailpoints, type Failpoints, isOwnMachine, parseFailpoints } from "./failpoints.js";
import { createFeed } from "./feed.js";
import { createListener } from "./http/app.js";
import { createLoop } from "./loops/loop.js";
import { type OneProcess, oneProcessApp } from "./one-process.js";
import { type Embedded, startEmbedded } from "./postgres/embedded.js";
import { inspectStore } from "./postgres/guard.js";
import { openDb } from "./store/db.js";
import { ensureProducer } from "./store/inbox-role.js";
import { createKeyring } from "./store/keyring.js";
import { migrate } from "./store/migrate.js";

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

/** How deliveries see the world, where that is not the operating system's business: the names, the certificates. */
export type Outside = Pick<PoolsOptions, "resolve" | "ca"> & {
  /** Takes the lines of the log (default: standard error). */
  readonly log?: { write(line: string): void };
};

/**
 * Starts a server; with `{ functions }`, functions in the same process with it. Throws a ConfigError, or what stands in the
 * way of its store, with a sentence that says what to do.
 */
export async function startRotor(given: Config | OneProcess, outside: Outside = {}): Promise<Rotor> {
  const own = "functions" in given ? given : undefined;
  const config = "functions" in given ? (given.config ?? readConfig(process.env, { mode: "start" })) : given;
  const log = pino(
    {
      level: config.logLevel,
      base: { node: config.nodeLabel },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: plainError },
    },
    outside.log ?? pino.destination(2),
  );
  const onError = (error: unknown): void =>
    log.error({ err: error }, error instanceof Error ? error.message : String(error));
  const onWarning = (message: string): void => log.warn(message);
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
    const databaseUrl = config.databaseUrl ?? embedded!.url;
    const failing = config.failpoints === "" ? undefined : failpointsOf(config.failpoints, databaseUrl, log);
    const plain = openDb({ url: databaseUrl, schema: config.schema, onError, onWarning });
    closers.push(() => plain.close());
    const db = failing?.around(plain) ?? plain;
    await inspectStore(() => db.connect());
    const applied = await migrate(db);
    if (applied.length > 0) log.info({ applied }, "migrated");
    const toRun = await ensureProducer(db);
    if (toRun !== undefined) log.info(toRun);
    const { tokenSecret, held, environment } = await bootstrap(db, {
      environment: config.environment,
      dev: config.mode === "dev",
      bootstrapKey: config.bootstrapKey,
      signingKey: config.signingKey,
      keys,
    });

    const services = ownPostgres(databaseUrl);
    const policy: Policy = { ...parsePolicy(config.allowPrivateUrls), own: services };
    const inProcess = new Map<string, InProcessApp>();
    const pools = new Pools({
      policy,
      connections: 50,
      inProcess,
      ...outside,
      onBlocked: (reason) => log.warn({ reason }, "no connection is made for a delivery"),
    });
    closers.push(() => pools.close());
    const feed = createFeed();
    const store = embedded
      ? `embedded Postgres in ${config.dataDir}`
      : `Postgres at ${hostOf(config.databaseUrl!)}, schema ${config.schema}`;
    const http = createServer(HTTP_SERVER);
    await listen(http, config.port, config.host);
    closers.push(() => closeServer(http));
    const { port } = http.address() as AddressInfo;
    services.push(ownService(config.host, port));
    const url = `http://${config.host.includes(":") ? `[${config.host}]` : config.host}:${port}`;

    const publicUrl = config.publicUrl ?? url;
    const keyring = createKeyring(db, keys);
    const { engine, start, stop } = createEngine({
      db,
      pools,
      deliver: failing?.aroundDeliveries(deliver) ?? deliver,
      policy,
      feed,
      tokenSecret,
      keyring,
      held,
      environment: config.environment,
      nodeLabel: config.nodeLabel,
      retention: config.retention,
      config: { dev: config.mode === "dev", publicUrl, environment, version: VERSION, store },
      onError,
    });
    const { app, listener } = createListener(engine, { log });
    http.on("request", listener);
    const beside = own && oneProcessApp(own, { api: app.fetch, publicUrl, signing: keyring.signing });
    if (beside) inProcess.set(beside.url, beside.answer);
    closers.push(async () => {
      await stop(DRAIN_MS);
      beside?.abandon();
    });
    await start();
    // Another environment's database is not told of them, until it is adopted and this server started again.
    if (beside && !held) await beside.register(engine);
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

/** The failpoints of a fault run. Throws where the database is not one of this machine. */
function failpointsOf(text: string, databaseUrl: string, log: Logger): Failpoints {
  const points = parseFailpoints(text);
  if (!isOwnMachine(databaseUrl))
    throw new ConfigError(
      "ROTOR_FAILPOINTS makes this server fail on purpose, and its database is not on this machine. Unset it.",
    );
  log.error({ failpoints: text }, "THIS SERVER FAILS ON PURPOSE: unset ROTOR_FAILPOINTS, unless this is a fault run");
  return createFailpoints(points, ({ name, action }) =>
    log.error({ failpoint: name, action: action.kind }, "failpoint"),
  );
}

/** What of an error is logged: a driver's error drags its whole connection along, keys and all. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack } = error;
  const { code, detail, constraint } = error as Error & { code?: unknown; detail?: unknown; constraint?: unknown };
  return { name, message, code, detail, constraint, stack };
}

/** Strict, as Node's parser is unless it is told otherwise, and bounded in time: answers may take hours, requests do not. */
const HTTP_SERVER: ServerOptions = {
  requestTimeout: limits.requestMs,
  headersTimeout: limits.requestHeadMs,
  keepAliveTimeout: limits.keepAliveMs,
  connectionsCheckingInterval: limits.requestLookMs,
  maxHeaderSize: limits.requestHeadBytes,
  // Else the first of two Hosts would count here, and perhaps the second for who stands in front.
  joinDuplicateHeaders: true,
};

function listen(server: Server, port: number, host: string): Promise<void> {
  server.maxHeadersCount = limits.requestHeaders;
  server.maxConnections = limits.sockets;
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
