import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readlinkSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findPackage } from "./binaries.js";
import { startEmbedded } from "./embedded.js";
import { canReach } from "./identity.js";
import { findProcess } from "./processes.js";
import {
  cleanUp,
  cleanUpToo,
  compileStarter,
  isRoot,
  NOBODY,
  newFolder,
  query,
  runStarter,
  type StarterSays,
} from "./testing-kit/kit.js";

const nobody = { kind: "switched", uid: NOBODY, gid: NOBODY } as const;
/** Without a PATH there is no unshare, as in a container that forbids user namespaces. */
const withoutNamespaces = { env: { PATH: "/nowhere" } };
let starter: string;
let template: string;

beforeAll(async () => {
  if (!isRoot) return;
  starter = compileStarter();
  template = cleanUpToo(newFolder());
  const postgres = await startEmbedded({ dataDir: template });
  await query(postgres.url, "create table kept (n int); insert into kept values (1)");
  await postgres.stop();
});
afterAll(cleanUp);

const urlOf = (said: StarterSays): string => {
  if (said.kind === "refused") throw new Error(said.why);
  return said.url;
};

/** A folder below one of mode 0755, which other users reach. */
const openFolder = (): string => {
  const folder = newFolder();
  chmodSync(folder, 0o755);
  return join(folder, "data");
};

describe.runIf(isRoot)("run by root", () => {
  it("works in a folder that only root may enter, and every file stays root's", () => {
    expect(statSync(template).mode & 0o777).toBe(0o700);
    expect(statSync(join(template, "postgres", "PG_VERSION")).uid).toBe(0);
  });

  it("runs as another user where user namespaces are forbidden, also on a cluster that root made before", async () => {
    const dataDir = cleanUpToo(openFolder());
    renameSync(template, dataDir);
    chmodSync(dataDir, 0o755);
    const { child, says, ended } = runStarter(starter, dataDir, withoutNamespaces);
    expect(await query(urlOf(await says), "select n from kept")).toEqual([{ n: 1 }]);
    const { uid } = statSync(join(dataDir, "postgres", "PG_VERSION"));
    expect(uid).not.toBe(0);
    child.kill("SIGKILL");
    await ended;
    const again = await startEmbedded({ dataDir });
    expect(statSync(join(dataDir, "postgres", "postmaster.pid")).uid).toBe(uid);
    await again.stop();
    const third = await startEmbedded({ dataDir });
    expect(statSync(`/proc/${third.pid}`).uid).toBe(uid);
    await third.stop();
  });

  it("puts the cluster elsewhere when that other user cannot reach the data folder", async () => {
    const dataDir = cleanUpToo(newFolder());
    const { child, says, ended } = runStarter(starter, dataDir, withoutNamespaces);
    const url = urlOf(await says);
    await query(url, "create table kept (n int)");
    expect(lstatSync(join(dataDir, "postgres")).isSymbolicLink()).toBe(true);
    const home = dirname(readlinkSync(join(dataDir, "postgres")));
    expect(statSync(home).mode & 0o777).toBe(0o755);
    child.kill("SIGKILL");
    await ended;
    const again = await startEmbedded({ dataDir });
    expect(again.url).toBe(url);
    expect(await query(again.url, "select n from kept")).toEqual([]);
    await again.stop();
  });
});

describe.runIf(isRoot && canReach(nobody, findPackage()))("run by an ordinary user", () => {
  it("works in a folder of that user, and root later runs it as that user", async () => {
    const dataDir = openFolder();
    mkdirSync(dataDir);
    chownSync(dataDir, NOBODY, NOBODY);
    cleanUpToo(dataDir);
    const { child, says, ended } = runStarter(starter, dataDir, { uid: NOBODY, gid: NOBODY });
    const said = await says;
    expect(await query(urlOf(said), "select 1 as n")).toEqual([{ n: 1 }]);
    expect(statSync(join(dataDir, "postgres", "PG_VERSION")).uid).toBe(NOBODY);
    child.kill("SIGKILL");
    await ended;
    const found = await startEmbedded({ dataDir });
    await found.stop();
    expect(findProcess(found.pid)).toBeUndefined();
    const fresh = await startEmbedded({ dataDir });
    expect(statSync(`/proc/${fresh.pid}`).uid).toBe(NOBODY);
    await fresh.stop();
  });

  it("says so when the database belongs to another user", async () => {
    const dataDir = openFolder();
    mkdirSync(join(dataDir, "postgres"), { recursive: true });
    chownSync(dataDir, NOBODY, NOBODY);
    const { says } = runStarter(starter, dataDir, { uid: NOBODY, gid: NOBODY });
    expect(await says).toEqual({ kind: "refused", why: expect.stringContaining("belongs to user 0") });
    expect(existsSync(join(dataDir, "owner.json"))).toBe(false);
  });
});
