/** Data folders, other processes and conditions for the tests of the embedded Postgres, and their removal. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { findPackage, prepareBinaries } from "../binaries.js";
import { findCluster } from "../places.js";
import { stopPostmaster } from "../postmaster.js";

export const isRoot = process.geteuid?.() === 0;
export const NOBODY = 65_534;

const folders: string[] = [];
const children: ChildProcess[] = [];

/** A new folder of mode 0700, as mkdtemp makes them, which `cleanUp` removes with the Postgres in it. */
export const newFolder = (): string => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "rotor-test-")));
  folders.push(folder);
  return folder;
};

/** To be called for folders in a folder of `newFolder`, whose Postgres shall be stopped as well. */
export const cleanUpToo = (folder: string): string => {
  folders.unshift(folder);
  return folder;
};

export const cleanUp = async (): Promise<void> => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const folder of folders.splice(0)) {
    if (!existsSync(folder)) continue;
    const cluster = findCluster(folder).folder;
    await stopPostmaster(cluster, prepareBinaries(findPackage(), folder, { kind: "self" }));
    const isElsewhere = dirname(cluster) !== folder;
    if (isElsewhere) rmSync(dirname(readlinkSync(join(folder, "postgres"))), { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
};

/** Polls until the answer is not undefined; throws after 10 s. */
export const until = async <T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> => {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await pause(5)) {
    const answer = await look();
    if (answer !== undefined) return answer;
  }
  throw new Error(`Waited for 10 s in vain: ${what}.`);
};

export const query = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
};

/** Compiles the starter, so that a process of plain Node can run it; the folder can be entered by every user. */
export const compileStarter = (): string => {
  const out = newFolder();
  chmodSync(out, 0o755);
  const require = createRequire(import.meta.url);
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");
  const source = fileURLToPath(new URL("./starter.ts", import.meta.url));
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const options = ["--target", "es2023", "--module", "nodenext", "--noCheck", "--rootDir", root, "--outDir", out];
  const { status, stdout } = spawnSync(process.execPath, [tsc, "--ignoreConfig", ...options, source], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`tsc failed: ${stdout}`);
  writeFileSync(join(out, "package.json"), '{"type":"module"}');
  symlinkSync(dirname(dirname(require.resolve("pg/package.json"))), join(out, "node_modules"));
  return join(out, "postgres", "testing-kit", "starter.js");
};

export type StarterSays =
  | { readonly kind: "started"; readonly url: string; readonly pid: number }
  | { readonly kind: "refused"; readonly why: string };

/** Runs the starter in a process group of its own. */
export const runStarter = (
  starter: string,
  dataDir: string,
  as: { uid?: number; gid?: number; env?: Record<string, string> } = {},
): { child: ChildProcess; says: Promise<StarterSays>; ended: Promise<void> } => {
  const child = spawn(process.execPath, [starter, dataDir], { stdio: ["pipe", "pipe", "pipe"], detached: true, ...as });
  children.push(child);
  let output = "";
  let problem = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    problem += text;
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const says = new Promise<StarterSays>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("\n")) resolve(JSON.parse(output) as StarterSays);
    });
    child.once("error", reject);
    child.once("close", () => reject(new Error(`The starter ended without a word. ${problem}`)));
  });
  // A test that kills it does not wait for its word.
  says.catch(() => undefined);
  return { child, says, ended };
};
