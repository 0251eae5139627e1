import { writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Embedded, startEmbedded } from "./embedded.js";
import { checkStore, complaintAbout } from "./guard.js";
import { cleanUp, newFolder, until } from "./testing-kit/kit.js";

let dataDir: string;
let postgres: Embedded;
let client: pg.Client;

const connect = async (): Promise<void> => {
  client = new pg.Client(postgres.url);
  await client.connect();
};

/** Changes a setting of the server and waits until this session has it. */
const setServer = async (name: string, value: "on" | "off"): Promise<void> => {
  await client.query(`alter system set ${name} = ${value}`);
  await client.query("select pg_reload_conf()");
  await until(`${name} = ${value}`, async () => {
    const { rows } = await client.query<{ value: string }>("select current_setting($1) as value", [name]);
    return rows[0]?.value === value ? true : undefined;
  });
};

beforeAll(async () => {
  dataDir = newFolder();
  postgres = await startEmbedded({ dataDir });
  await connect();
});
afterAll(cleanUp);

describe("the check of a store", () => {
  it("accepts the embedded Postgres, and every commit that waits for the disk", async () => {
    await checkStore(client);
    for (const level of ["local", "remote_write", "remote_apply", "on"]) {
      await client.query(`set synchronous_commit = ${level}`);
      await checkStore(client);
    }
  });

  it("refuses commits that do not wait for the disk", async () => {
    await client.query("set synchronous_commit = off");
    await expect(checkStore(client)).rejects.toThrow(/synchronous_commit = off: .* Set it to on/);
    await client.query("reset synchronous_commit");
  });

  for (const name of ["fsync", "full_page_writes"]) {
    it(`refuses ${name} = off`, async () => {
      await setServer(name, "off");
      await expect(checkStore(client)).rejects.toThrow(`${name} = off: a power loss`);
      await setServer(name, "on");
      await checkStore(client);
    });
  }

  it("refuses a Postgres older than 15", () => {
    const old = { version_number: 140_020, version: "14.20", is_replica: false };
    const safe = { fsync: "on", full_page_writes: "on", synchronous_commit: "on" };
    expect(complaintAbout({ ...old, ...safe })).toMatch(/^Postgres 14\.20 is too old/);
    expect(complaintAbout({ ...old, ...safe, version_number: 150_000 })).toBeUndefined();
  });

  it("refuses a replica", async () => {
    await client.end();
    await postgres.stop();
    writeFileSync(join(dataDir, "postgres", "standby.signal"), "");
    postgres = await startEmbedded({ dataDir });
    await connect();
    await expect(checkStore(client)).rejects.toThrow(/read-only replica .* DATABASE_URL to the primary/);
    await client.end();
  });
});
