import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Embedded, startEmbedded, startOver } from "./embedded.js";
import { findProcess } from "./processes.js";
import { cleanUp, cleanUpToo, compileStarter, newFolder, query, runStarter, until } from "./testing-kit/kit.js";

let starter: string;
/** One data folder goes through the tests, since each first start costs most of a second. */
let dataDir: string;

beforeAll(() => {
  starter = compileStarter();
  dataDir = cleanUpToo(join(newFolder(), ".rotor"));
});
afterAll(cleanUp);

const moveTo = (name: string): void => {
  const moved = cleanUpToo(join(dirname(dataDir), name));
  renameSync(dataDir, moved);
  dataDir = moved;
};

const start = (log?: string[]): Promise<Embedded> =>
  startEmbedded({ dataDir, ...(log && { log: (line: string) => log.push(line) }) });

const draftsThere = () =>
  existsSync(dataDir) ? readdirSync(dataDir).filter((name) => name.startsWith("postgres.new-")) : [];

const countRows = async (url: string) => (await query(url, "select count(*)::int as n from kept"))[0]?.n;

describe("an embedded Postgres", () => {
  it("that was killed while it was being made leaves nothing that is taken for a database", async () => {
    const { child, says, ended } = runStarter(starter, dataDir);
    await until("initdb at work", () =>
      draftsThere().some((name) => existsSync(join(dataDir, name, "PG_VERSION"))) ? true : undefined,
    );
    process.kill(-child.pid!, "SIGKILL");
    await ended;
    await expect(says).rejects.toThrow("without a word");
    expect(readdirSync(dataDir)).not.toContain("postgres");
  });

  it("is made at the first start, durable and reachable by nobody else", async () => {
    const postgres = await start();
    const [row] = await query(
      postgres.url,
      `select current_database() as database, current_setting('fsync') as fsync, current_setting('listen_addresses') as tcp,
              current_setting('full_page_writes') as pages, current_setting('synchronous_commit') as commits,
              current_setting('server_encoding') as encoding, 'a' > 'B' as by_code_point`,
    );
    expect(row).toEqual({
      database: "rotor",
      fsync: "on",
      tcp: "",
      pages: "on",
      commits: "on",
      encoding: "UTF8",
      by_code_point: true,
    });
    expect(statSync(join(dataDir, "postgres")).mode & 0o777).toBe(0o700);
    expect(draftsThere()).toEqual([]);
    expect(findProcess(postgres.pid)).toBeDefined();
    await query(postgres.url, "create table kept (n int); insert into kept values (1)");
    await postgres.stop();
    await postgres.stop();
    expect(findProcess(postgres.pid)).toBeUndefined();
    expect(existsSync(join(dataDir, "owner.json"))).toBe(false);
  });

  it("has what it had at a second start", async () => {
    const postgres = await start();
    expect(await countRows(postgres.url)).toBe(1);
    await postgres.stop();
  });

  it("starts again after its main process was killed, though children of that one still run", async () => {
    const first = await start();
    await query(first.url, "insert into kept values (2)");
    process.kill(first.pid, "SIGKILL");
    await until("the kill", () => (findProcess(first.pid) ? undefined : true));
    await first.stop();
    const second = await start();
    expect(await countRows(second.url)).toBe(2);
    await second.stop();
  });

  it("outlives a killed Rotor and its terminal, and is found again by the next one", async () => {
    const { child, says, ended } = runStarter(starter, dataDir);
    const said = await says;
    if (said.kind !== "started") throw new Error(said.why);
    process.kill(-child.pid!, "SIGINT");
    process.kill(-child.pid!, "SIGKILL");
    await ended;
    const log: string[] = [];
    const postgres = await start(log);
    expect(postgres.pid).toBe(said.pid);
    expect(log.join()).toContain("Found Postgres again");
    expect(await countRows(postgres.url)).toBe(2);
    await postgres.stop();
    expect(findProcess(said.pid)).toBeUndefined();
  });

  it("is refused to a second Rotor, which names the first one's process", async () => {
    const { child, says, ended } = runStarter(starter, dataDir);
    expect((await says).kind).toBe("started");
    await expect(start()).rejects.toThrow(`Another Rotor (process ${child.pid})`);
    child.kill("SIGKILL");
    await ended;
    const postgres = await start();
    await expect(start()).rejects.toThrow(`This process (${process.pid})`);
    const { says: saysSecond } = runStarter(starter, dataDir);
    expect(await saysSecond).toEqual({ kind: "refused", why: expect.stringContaining(`process ${process.pid}`) });
    await postgres.stop();
  });

  it("is given to one of several Rotors that start at the same moment", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => runStarter(starter, dataDir).says));
    expect(answers.map(({ kind }) => kind).sort()).toEqual(["refused", "refused", "started"]);
    const lock = JSON.parse(readFileSync(join(dataDir, "owner.json"), "utf8")) as { pid: number };
    process.kill(lock.pid, "SIGKILL");
    await until("the kill", () => (findProcess(lock.pid) ? undefined : true));
    await (await start()).stop();
  });

  it("starts though its lock files name processes that now are something else", async () => {
    const first = await start();
    const locks = ["owner.json", "postgres/postmaster.pid", "postgres/.s.PGSQL.5432.lock"].map((name) => {
      const file = join(dataDir, name);
      return { file, text: readFileSync(file, "utf8") };
    });
    await first.stop();
    for (const { file, text } of locks) {
      const named = text
        .replace(String(first.pid), String(process.ppid))
        .replace(String(process.pid), String(process.ppid));
      expect(named).toContain(String(process.ppid));
      writeFileSync(file, named, { mode: 0o600 });
    }
    const second = await start();
    expect(await countRows(second.url)).toBe(2);
    await second.stop();
  });

  it("is not started beside one whose process is not to be seen, as in another container on the same volume", async () => {
    const { child, says, ended } = runStarter(starter, dataDir);
    expect((await says).kind).toBe("started");
    child.kill("SIGKILL");
    await ended;
    const lock = join(dataDir, "postgres", "postmaster.pid");
    renameSync(lock, `${lock}.aside`);
    await expect(start()).rejects.toThrow("in another container");
    renameSync(`${lock}.aside`, lock);
    await (await start()).stop();
  });

  it("works where the socket's path would be too long, over a private folder elsewhere", async () => {
    moveTo("long ".repeat(30));
    const postgres = await start();
    expect(await countRows(postgres.url)).toBe(2);
    const socket = new URL(postgres.url).searchParams.get("host")!;
    expect(socket).not.toContain("long");
    expect(statSync(socket).mode & 0o777).toBe(0o700);
    await postgres.stop();
    expect(existsSync(socket)).toBe(false);
  });

  it("works in a folder whose name needs quoting", async () => {
    moveTo(`ö'dd "n,ame" & 5%`);
    const postgres = await start();
    expect(new URL(postgres.url).searchParams.get("host")).toBe(join(dataDir, "postgres"));
    expect(await countRows(postgres.url)).toBe(2);
    await postgres.stop();
  });

  it("says why it does not start, and leaves the folder free", async () => {
    const file = join(dataDir, "postgres", "postgresql.auto.conf");
    writeFileSync(file, "no_such_setting = 1\n");
    await expect(start()).rejects.toThrow(/The embedded Postgres ended\..*no_such_setting/s);
    writeFileSync(file, "");
    await (await start()).stop();
  });

  it("says so when its files were made by another version", async () => {
    const file = join(dataDir, "postgres", "PG_VERSION");
    writeFileSync(file, "17\n");
    await expect(start()).rejects.toThrow("was made by Postgres 17");
    writeFileSync(file, "18\n");
    await (await start()).stop();
  });

  it("makes its database anew when someone removed it", async () => {
    const first = await start();
    const template = new URL(first.url);
    template.pathname = "/template1";
    await query(template.href, "drop database rotor");
    await first.stop();
    const second = await start();
    expect(await query(second.url, "select current_database() as name")).toEqual([{ name: "rotor" }]);
    await second.stop();
  });

  it("over loopback, as on Windows, asks for the password that it keeps in a private file", async () => {
    const folder = cleanUpToo(newFolder());
    const postgres = await startOver("loopback", { dataDir: folder });
    expect(await query(postgres.url, "select current_database() as name")).toEqual([{ name: "rotor" }]);
    expect(statSync(join(folder, "postgres.password")).mode & 0o777).toBe(0o600);
    const guess = new URL(postgres.url);
    guess.password = "guess";
    await expect(query(guess.href, "select 1")).rejects.toThrow(/password authentication failed/);
    await postgres.stop();
  });
});
