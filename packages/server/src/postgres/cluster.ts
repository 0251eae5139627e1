/**
 * Makes the folder of a new database cluster, whole or not at all, and readies an existing one for the user that
 * will run it. It starts no server.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, lchownSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Binaries } from "./binaries.js";
import { readIfThere, syncFolder } from "./files.js";
import { commandAs, type Identity } from "./identity.js";

/** The major version of Postgres that the packages of this release ship; a cluster is of one major version. */
const MAJOR_VERSION = "18";

/** Whether the folder holds a cluster. Throws when it holds one of another version, or something else. */
export const isCluster = (folder: string): boolean => {
  const version = readIfThere(join(folder, "PG_VERSION"))?.trim();
  if (version === MAJOR_VERSION) return true;
  if (version !== undefined) {
    throw new Error(
      `${folder} was made by Postgres ${version}, and this Rotor ships ${MAJOR_VERSION}. Move the data with pg_dump, or remove the folder to start empty.`,
    );
  }
  if (!existsSync(folder) || readdirSync(folder).length === 0) return false;
  throw new Error(`${folder} holds files that are no Postgres cluster. Move them away, or choose another data folder.`);
};

type NewCluster = {
  readonly folder: string;
  readonly binaries: Binaries;
  readonly identity: Identity;
  /** A file with the password for connections over TCP; undefined where only the socket is used. */
  readonly passwordFile: string | undefined;
};

/**
 * Makes a new cluster. All is done and synced under another name, and then renamed: if this is killed half-way, only
 * a folder is left that the next call removes. The caller owns the data folder, so that no other call is under way.
 */
export const createCluster = async ({ folder, binaries, identity, passwordFile }: NewCluster): Promise<void> => {
  removeDrafts(folder);
  const draft = `${folder}.new-${randomBytes(6).toString("hex")}`;
  mkdirSync(draft, { mode: 0o700 });
  adopt(draft, identity);
  const access =
    passwordFile === undefined
      ? // The socket's folder is private, which is the check; nothing but the socket is let in.
        ["--auth-local=trust", "--auth-host=reject"]
      : ["--auth-local=reject", "--auth-host=scram-sha-256", `--pwfile=${passwordFile}`];
  // Texts compare by code point: fast, and the same on every machine and after every upgrade of the system.
  const text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
  await run(binaries, identity, [`--pgdata=${draft}`, "--username=postgres", ...text, ...access, "--no-instructions"]);
  renameSync(draft, folder);
  syncFolder(dirname(folder));
};

/** An earlier initdb may still be writing into its draft, hence the second tries. */
const removeDrafts = (folder: string): void => {
  for (const name of readdirSync(dirname(folder))) {
    if (!name.startsWith(`${basename(folder)}.new-`)) continue;
    rmSync(join(dirname(folder), name), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
};

const run = async (binaries: Binaries, identity: Identity, args: string[]): Promise<void> => {
  const command = commandAs(identity, binaries.initdb, args);
  const child = spawn(command.file, command.args, {
    ...command.options,
    cwd: "/",
    env: environment(binaries),
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const outcome = await new Promise<string>((resolve, reject) => {
    child.once("error", (cause) => reject(new Error(`Could not run ${binaries.initdb}: ${cause.message}`, { cause })));
    child.once("close", (code, signal) => resolve(code === 0 ? "done" : (signal ?? `exit code ${code}`)));
  });
  if (outcome === "done") return;
  throw new Error(
    `initdb could not make the database (${outcome}): ${output.trim().split("\n").slice(-6).join(" / ")}`,
  );
};

/** Gives a cluster, or the draft of one, to the user that runs Postgres, and to nobody else, as Postgres demands. */
export const adopt = (folder: string, identity: Identity): void => {
  if (identity.kind !== "switched") return;
  if (lstatSync(folder).uid !== identity.uid) chownTree(folder, identity.uid, identity.gid);
  chmodSync(folder, 0o700);
};

/** The folder itself comes last, so that a half-done change is taken up again. */
const chownTree = (folder: string, uid: number, gid: number): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) chownTree(path, uid, gid);
    else lchownSync(path, uid, gid);
  }
  lchownSync(folder, uid, gid);
};

/**
 * What Postgres and initdb see of the environment: not our secrets, and none of the PG… variables, which would
 * change what they do. TZ saves initdb a search for the machine's time zone.
 */
export const environment = (binaries: Binaries): Record<string, string> => {
  const kept = ["PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SystemRoot", "SYSTEMROOT", "windir", "COMSPEC", "PATHEXT"];
  const own = kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]));
  return { ...Object.fromEntries(own), TZ: "UTC", LC_ALL: "C", ...binaries.env };
};
