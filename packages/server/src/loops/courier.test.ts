/** Ends of deliveries that no endpoint has part in. Those that one has part in are in the stories and in `delivery/`. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deliver } from "../delivery/deliver.js";
import { parsePolicy } from "../delivery/guard.js";
import { Pools } from "../delivery/pools.js";
import { Stop } from "../delivery/stop.js";
import { NO_HISTORY } from "../store/history.js";
import { type LoadedJob, loadJobs } from "../store/load.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, claimAll, enqueueAll, newJob } from "../testing-kit/fixtures.js";
import { carry } from "./courier.js";

let database: TestDatabase;
let job: LoadedJob;
const pools = new Pools({ policy: parsePolicy("loopback") });
const live = new Stop();

beforeAll(async () => {
  database = await testDatabase();
  const queue = await callbackQueue(database.db);
  await enqueueAll(database.db, [newJob(queue.id)]);
  [job] = (await loadJobs(database.db, await claimAll(database.db, queue.id))) as [LoadedJob];
});

afterAll(async () => {
  await pools.close();
  await database.close();
});

const options = (secrets: () => Promise<readonly string[]>) => ({
  pools,
  deliver,
  publicUrl: "http://127.0.0.1",
  now: Date.now,
  tokenSecret: "secret",
  secrets,
  secretValues: async () => new Map<string, string>(),
});

test("a job that cannot be put into words costs an attempt, so that it does not come back for ever", async () => {
  const { end } = await carry(
    options(async () => []),
    job,
    NO_HISTORY,
    live,
  );
  expect(end).toMatchObject({ kind: "failed", final: false, error: { name: "DeliveryError" } });
});

test("keys that cannot be read say nothing about the job", async () => {
  const away = options(() => Promise.reject(new Error("the database is away")));
  await expect(carry(away, job, NO_HISTORY, live)).rejects.toThrow("away");
});

test("a delivery that is given up before it began is given back", async () => {
  const secrets = options(async () => [`whsec_${Buffer.alloc(32, 5).toString("base64")}`]);
  const stop = new Stop();
  stop.ask();
  const { end } = await carry(secrets, job, NO_HISTORY, stop);
  expect(end).toEqual({ kind: "released" });
});
