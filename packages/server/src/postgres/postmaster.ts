/**
 * The running Postgres of a cluster: finding it by its lock file `postmaster.pid`, starting it, stopping it.
 * Whether it answers is asked in `connect.ts`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chownSync, closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Binaries } from "./binaries.js";
import { environment } from "./cluster.js";
import { hasCode, readIfThere, writePrivate } from "./files.js";
import { commandAs, type Identity } from "./identity.js";
import { findProcess, hasProcess } from "./processes.js";
import { SOCKET_PORT, settingsFor, type Transport } from "./settings.js";

/** The main process of a Postgres that runs on a cluster. */
export type Postmaster = {
  readonly pid: number;
  /** The folder of its socket; undefined until it listens, or where it uses loopback. */
  readonly socketFolder: string | undefined;
  readonly port: number;
};

const lockFile = (cluster: string): string => join(cluster, "postmaster.pid");

/** The Postgres that runs on this cluster, if one does. A reused process id is not mistaken for it. */
export const findPostmaster = (cluster: string): Postmaster | undefined => {
  const lock = readIfThere(lockFile(cluster));
  if (lock === undefined) return undefined;
  // Lines: process id, cluster, start, port, socket's folder, address, shared memory, status.
  const [pidText = "", , , port, socketFolder] = lock.split("\n");
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0 || !isPostmasterOf(pid, cluster)) return undefined;
  return { pid, socketFolder: socketFolder || undefined, port: Number(port) };
};

const isPostmasterOf = (pid: number, cluster: string): boolean => {
  const found = findProcess(pid);
  if (found === undefined) return false;
  if (found.args === undefined) return true;
  // A path with spaces is several arguments to ps, hence the comparison of the whole line.
  return `${found.args.join(" ")} `.includes(`postgres -D ${cluster} `);
};

/**
 * Frees the cluster, and its socket, from lock files that name a process which is something else, or a zombie:
 * Postgres would refuse to start for as long as the id is in use. The files are not removed but name us instead,
 * the parent of the one to be started, whom Postgres never takes for a rival: so it still checks the shared memory
 * named further down, and does not start beside children of a postmaster that was killed.
 */
export const disownLocks = (cluster: string, transport: Transport): void => {
  disown(lockFile(cluster), cluster);
  if (transport.kind === "socket") disown(join(transport.folder, `.s.PGSQL.${SOCKET_PORT}.lock`), cluster);
};

const disown = (file: string, cluster: string): void => {
  const lock = readIfThere(file);
  if (lock === undefined) return;
  const pid = Number(lock.split("\n")[0]);
  if (!Number.isInteger(pid) || pid === 0) {
    // Cut short by a power loss. Postgres refuses it, and a file just being written is not this old.
    if (Date.now() - statSync(file).mtimeMs > 5_000) rmSync(file, { force: true });
    return;
  }
  if (!hasProcess(Math.abs(pid)) || isPostmasterOf(pid, cluster)) return;
  const { uid, gid } = statSync(file);
  const draft = `${file}.${randomUUID()}`;
  writePrivate(draft, lock.replace(/^-?\d+/, String(process.pid)));
  if (process.geteuid?.() === 0) chownSync(draft, uid, gid);
  renameSync(draft, file);
};

export type Launch = {
  /** Whether it ended without becoming a server. */
  hasFailed(): boolean;
  /** What the log says of it so far. */
  output(): string;
};

type LaunchPlan = {
  readonly cluster: string;
  readonly binaries: Binaries;
  readonly identity: Identity;
  readonly transport: Transport;
  /** Ours, so it may lie where the user that runs Postgres cannot write. */
  readonly logFile: string;
};

/**
 * Starts Postgres in a session of its own, so that neither Ctrl-C in our terminal nor our own end stops it.
 * Returns at once.
 */
export const launch = ({ cluster, binaries, identity, transport, logFile }: LaunchPlan): Launch => {
  boundLog(logFile);
  const log = openSync(logFile, "a", 0o600);
  const logStart = statSync(logFile).size;
  try {
    const settings = settingsFor(transport);
    // On Windows only pg_ctl can start it for an administrator: it gives up the privileges that Postgres refuses.
    const child =
      process.platform === "win32"
        ? spawnAs(commandAs(identity, binaries.pgCtl, pgCtlStart(cluster, settings)), binaries, log)
        : spawnAs(commandAs(identity, binaries.postgres, ["-D", cluster, ...settings]), binaries, log);
    let failed = false;
    let problem = "";
    child.once("error", (error) => {
      failed = true;
      problem = error.message;
    });
    child.once("exit", (code) => {
      failed = process.platform !== "win32" || code !== 0;
    });
    child.unref();
    return {
      hasFailed: () => failed,
      output: () => problem + readFileSync(logFile).subarray(logStart).toString("utf8"),
    };
  } finally {
    closeSync(log);
  }
};

const pgCtlStart = (cluster: string, settings: string[]): string[] => {
  const options = settings.map((word) => (word === "-c" ? word : `"${word}"`)).join(" ");
  return ["start", "--no-wait", "-D", cluster, "-o", options];
};

const spawnAs = (command: ReturnType<typeof commandAs>, binaries: Binaries, log: number): ChildProcess =>
  spawn(command.file, command.args, {
    ...command.options,
    cwd: "/",
    env: environment(binaries),
    stdio: ["ignore", log, log],
    detached: true,
    windowsHide: true,
  });

const LARGEST_LOG_BYTES = 10 * 1024 * 1024;

/** One older log is kept. Only called while no Postgres writes to it. */
const boundLog = (logFile: string): void => {
  if (existsSync(logFile) && statSync(logFile).size > LARGEST_LOG_BYTES) renameSync(logFile, `${logFile}.1`);
};

/** How long sessions are given to be cut off and a last checkpoint to be written, before it is stopped at once. */
const SHUTDOWN_MS = 30_000;
const IMMEDIATE_SHUTDOWN_MS = 10_000;

/**
 * Stops the Postgres of this cluster: sessions are cut off, everything is written, and the call returns when the
 * process is gone. None running is fine. After 30 s it is stopped without the last checkpoint, which is safe.
 */
export const stopPostmaster = async (cluster: string, binaries: Binaries): Promise<void> => {
  if (await endedBy("SIGINT", SHUTDOWN_MS, cluster, binaries)) return;
  if (await endedBy("SIGQUIT", IMMEDIATE_SHUTDOWN_MS, cluster, binaries)) return;
  throw new Error(`Postgres (process ${findPostmaster(cluster)?.pid}) did not stop. Its log is beside ${cluster}.`);
};

const endedBy = async (
  signal: "SIGINT" | "SIGQUIT",
  withinMs: number,
  cluster: string,
  binaries: Binaries,
): Promise<boolean> => {
  const found = findPostmaster(cluster);
  if (found === undefined) return true;
  const birth = findProcess(found.pid)?.birth;
  if (process.platform === "win32") {
    // There are no signals; pg_ctl uses a pipe of Postgres's own.
    const mode = signal === "SIGINT" ? "fast" : "immediate";
    spawn(binaries.pgCtl, ["stop", "--no-wait", "-m", mode, "-D", cluster], { stdio: "ignore", windowsHide: true });
  } else {
    sendSignal(found.pid, signal);
  }
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; ) {
    if (findProcess(found.pid)?.birth !== birth) return true;
    await pause(5);
  }
  return false;
};

const sendSignal = (pid: number, signal: "SIGINT" | "SIGQUIT"): void => {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has just ended by itself.
    if (!hasCode(error, "ESRCH")) throw error;
  }
};
