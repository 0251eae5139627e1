/**
 * Starts the embedded Postgres of a data folder, or finds the one that an earlier process left running, and hands out
 * its URL. What is stored in it, and whether its settings are safe (`guard.ts`), is not decided here.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, realpathSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { findPackage, prepareBinaries } from "./binaries.js";
import { createCluster, isCluster } from "./cluster.js";
import { DATABASE } from "./connect.js";
import { createWhole } from "./files.js";
import { canReach, chooseIdentity, type Identity } from "./identity.js";
import { takeOwnership } from "./owner.js";
import { findCluster, placeCluster, removeSocketFolder, socketFolder } from "./places.js";
import { stopPostmaster } from "./postmaster.js";
import { findProcess } from "./processes.js";
import { type Site, untilReady } from "./ready.js";
import { type Transport, urlFor } from "./settings.js";

export type EmbeddedOptions = {
  /** The data folder, such as `.rotor`; made when missing. The cluster lives in `postgres` in it, or where that links to. */
  readonly dataDir: string;
  /** Told in sentences what takes time or is unusual. Default: nobody. */
  readonly log?: (line: string) => void;
};

export type Embedded = {
  /** The database `rotor`, as `pg` reads it. On Windows it contains a password. */
  readonly url: string;
  /** The main process of Postgres as it was started. It outlives us when we are killed, and the next start finds it again. */
  readonly pid: number;
  /** Starts Postgres again, under the same URL, if it has died; false while it lives. Not after `stop`. */
  revive(): Promise<boolean>;
  /** Stops Postgres, waits until it is gone and gives the folder free. Calling it again is harmless. */
  stop(): Promise<void>;
};

/**
 * Returns when the database answers. One process at a time may hold a data folder. Throws a sentence that says what to
 * do: no binaries for this platform, another Rotor in the folder, or a Postgres that does not start (with its log).
 */
export const startEmbedded = (options: EmbeddedOptions): Promise<Embedded> =>
  startOver(process.platform === "win32" ? "loopback" : "socket", options);

/** {@link startEmbedded} over a chosen transport, which otherwise the platform decides. */
export const startOver = async (
  kind: Transport["kind"],
  { dataDir, log = () => undefined }: EmbeddedOptions,
): Promise<Embedded> => {
  const packageDir = findPackage();
  mkdirSync(dataDir, { recursive: true });
  const folder = realpathSync(dataDir);
  const ownership = takeOwnership(folder);
  try {
    const site = await prepareSite(kind, folder, packageDir, log);
    const { postmaster, transport } = await untilReady(site, log);
    let pid = postmaster.pid;
    ownership.confirm();
    let stopped: Promise<void> | undefined;
    return {
      url: urlFor(transport, DATABASE),
      pid,
      revive: async () => {
        if (stopped !== undefined || findProcess(pid) !== undefined) return false;
        pid = (await untilReady(site, log)).postmaster.pid;
        return true;
      },
      stop: () => {
        stopped ??= stopPostmaster(site.cluster, site.binaries).then(() => {
          if (transport.kind === "socket") removeSocketFolder(transport.folder, site.cluster);
          ownership.release();
        });
        return stopped;
      },
    };
  } catch (error) {
    ownership.release();
    throw error;
  }
};

/** Everything that must be there before Postgres can be started; makes the cluster at the first start. */
const prepareSite = async (
  kind: Transport["kind"],
  dataDir: string,
  packageDir: string,
  log: (line: string) => void,
): Promise<Site> => {
  const found = findCluster(dataDir);
  const identity = chooseIdentity(found.owner);
  const exists = isCluster(found.folder);
  const binaries = prepareBinaries(packageDir, dataDir, identity);
  const cluster = exists ? found.folder : placeCluster(dataDir, found.folder, identity);
  if (!canReach(identity, dirname(cluster))) {
    throw new Error(`The user that runs Postgres cannot reach ${cluster}: check the modes of the folders above it.`);
  }
  const passwordFile = kind === "loopback" ? join(dataDir, "postgres.password") : undefined;
  if (passwordFile !== undefined) createWhole(passwordFile, `${randomBytes(24).toString("base64url")}\n`);
  if (!exists) {
    log(`Making a new database in ${cluster}.`);
    await createCluster({ folder: cluster, binaries, identity, passwordFile });
  }
  const transport = await transportFor(passwordFile, cluster, identity);
  return { cluster, binaries, identity, transport, logFile: join(dataDir, "postgres.log") };
};

const transportFor = async (
  passwordFile: string | undefined,
  cluster: string,
  identity: Identity,
): Promise<Transport> =>
  passwordFile === undefined
    ? { kind: "socket", folder: socketFolder(cluster, identity) }
    : { kind: "loopback", port: await freePort(), password: readFileSync(passwordFile, "utf8").trim() };

/** A port of loopback that is free now; should it be taken before Postgres has it, the start fails and says so. */
const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("No free port on loopback."));
        else resolve(address.port);
      });
    });
  });
