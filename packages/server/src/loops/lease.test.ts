/** Leases, on a real database. The process's clock is moved where a pause is meant; the database's where an outage is. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { eventually } from "../testing-kit/server.js";
import { createLease, type Lease } from "./lease.js";

let database: TestDatabase;
const leases: Lease[] = [];
/** Milliseconds by which this process's monotonic clock is ahead. */
let ahead = 0;

beforeEach(async () => {
  database = await testDatabase();
  ahead = 0;
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + ahead);
});

afterEach(async () => {
  for (const lease of leases.splice(0)) await lease.stop();
  vi.restoreAllMocks();
  await database.close();
});

type Watched = Lease & { readonly lost: string[]; readonly errors: unknown[] };

/** A started lease that notes what it was told. */
async function started(db: Db = database.db): Promise<Watched> {
  const lost: string[] = [];
  const errors: unknown[] = [];
  const lease = createLease({
    db,
    label: "test",
    onLost: () => lost.push(lease.nodeId()),
    onError: (error) => errors.push(error),
  });
  leases.push(lease);
  await lease.start();
  return Object.assign(lease, { lost, errors });
}

const nodes = async (): Promise<string[]> =>
  (await database.db.script("select id from rotor.nodes order by started_at")).rows.map((row) => row.id as string);

/** Ends every connection of this database's leases but that of the asking one. */
const cut = () =>
  database.db.script(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where pid <> pg_backend_pid() and query like '%${database.schema}.nodes%'`,
  );

test("a fresh node is not steady before a whole lease, then it is", async () => {
  const lease = await started();
  expect(lease.fresh()).toBe(true);
  expect(lease.steady()).toBe(false);
  await eventually("a renewal after a whole lease", () => lease.steady(), limits.leaseMs + 3_000);
  expect(lease.errors).toEqual([]);
});

test("a node whose lease ran out by the database's clock takes a new id and drops everything", async () => {
  const lease = await started();
  const first = lease.nodeId();
  await database.shiftClock(limits.leaseMs + 1_000);
  await eventually("the loss", () => lease.lost.length === 1);
  expect(lease.nodeId()).not.toBe(first);
  await eventually("a lease under the new id", () => lease.fresh());
  expect(await nodes()).toEqual([first, lease.nodeId()]);
  expect(lease.steady()).toBe(false);
});

test("a node that was paused is not fresh, and judges nobody, until it has renewed", async () => {
  const lease = await started();
  await eventually("a steady node", () => lease.steady(), limits.leaseMs + 3_000);
  ahead += limits.leaseMs;
  expect(lease.fresh()).toBe(false);
  expect(lease.steady()).toBe(false);
  await eventually("a renewal", () => lease.fresh());
  // The gap was longer than others may have survived.
  expect(lease.steady()).toBe(false);
});

test("a connection that is lost is made again; after a failure nobody is judged for a whole lease, but then again", async () => {
  let away = false;
  const lease = await started({
    ...database.db,
    connect: () => (away ? Promise.reject(new Error("the database is away")) : database.db.connect()),
  });
  const id = lease.nodeId();
  await eventually("a steady node", () => lease.steady(), limits.leaseMs + 3_000);
  away = true;
  await cut();
  await eventually("a renewal that fails", () => lease.errors.length > 0);
  expect(lease.steady()).toBe(false);
  away = false;
  const begunAt = performance.now();
  await eventually("steadiness", () => lease.steady(), limits.leaseMs + 5_000);
  expect(performance.now() - begunAt).toBeGreaterThan(limits.leaseMs - 500);
  expect(lease.nodeId()).toBe(id);
  expect(lease.lost).toEqual([]);
});

test("a connection that no longer answers does not cost the lease", async () => {
  let silent = false;
  const lease = await started({
    ...database.db,
    async connect() {
      const client = await database.db.connect();
      const query = client.query.bind(client) as (...given: never[]) => unknown;
      // The first connection swallows what it is told, as a cut cable does.
      const swallows = !silent;
      Object.assign(client, {
        query: (...given: never[]) => (silent && swallows ? new Promise(() => undefined) : query(...given)),
      });
      return client;
    },
  });
  const id = lease.nodeId();
  silent = true;
  await eventually("a renewal that is given up", () => lease.errors.length > 0);
  await eventually("a fresh lease", () => lease.fresh());
  await eventually("a steady one", () => lease.steady(), limits.leaseMs + 5_000);
  expect(lease.nodeId()).toBe(id);
  expect(lease.lost).toEqual([]);
});

test("stop takes the node's row away, also when its connection is gone", async () => {
  const lease = await started();
  await cut();
  await lease.stop();
  expect(await nodes()).toEqual([]);
});

test("the time of day is the database's, whatever this machine's clock says", async () => {
  vi.spyOn(Date, "now").mockReturnValue(0);
  const lease = await started();
  const [row] = (await database.db.script("select extract(epoch from clock_timestamp()) * 1000 as now")).rows;
  expect(Math.abs(lease.now() - Number(row.now))).toBeLessThan(1_000);
});
