// The physical limits of this machine in this run: what a durable commit, a POST, a signed POST, a bulk insert and a bare
// checkpoint lane take with nothing around them. Each figure of Rotor's stands beside the one that bounds it.
import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { signRotor } from "@rotorsh/sdk/signature";
import pg from "pg";
import { Agent, request } from "undici";
import { root } from "../scripts/install.mjs";
import { crowd, pause, quantile, timed } from "./stage.mjs";

const COMMITS = 300;
const POSTS = 8_000;
const ROWS = 50_000;
const RUNS = 50;
const STEPS = 200;

const COMMIT = { name: "bare.commit", text: "insert into bare_rows values ($1, $2)" };

/** Opens what the limits need; `close` ends it. */
export async function openLimits(stage) {
  const { client, databaseUrl, signingKey } = stage;
  await client.query(`create table if not exists bare_rows (id uuid primary key, body text)`);
  await client.query(`create table if not exists bare_runs (id uuid primary key, active boolean not null)`);
  await client.query(
    `create table if not exists bare_steps (run uuid, step int, output text, primary key (run, step))`,
  );
  const bare = fork(join(root, "bench/bare.mjs"), {
    env: { ...process.env, BENCH_SIGNING_KEY: signingKey, BENCH_DATABASE_URL: databaseUrl },
  });
  const { port } = await new Promise((resolve) => bare.once("message", resolve));
  const url = `http://127.0.0.1:${port}`;
  const dispatcher = new Agent({ connections: 50 });
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
  const post = async (path, body, headers = {}) => {
    const answer = await request(url + path, { method: "POST", body, headers, dispatcher });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}`);
  };
  const body = "x".repeat(500);

  return {
    /** Milliseconds of one durable commit, one at a time. */
    async commitMs() {
      const times = [];
      for (let n = 0; n < COMMITS; n++)
        times.push((await timed(() => client.query({ ...COMMIT, values: [randomUUID(), body] }))) * 1_000);
      return quantile(times, 0.5);
    },
    /** Milliseconds of one POST over loopback, one at a time. */
    async postMs() {
      const times = [];
      for (let n = 0; n < COMMITS; n++) times.push((await timed(() => post("/", body))) * 1_000);
      return quantile(times, 0.5);
    },
    /** POSTs a second into one Node server, 50 in flight. */
    postRate: async () => POSTS / (await timed(() => crowd(POSTS, 50, () => post("/", body)))),
    /** The same, each signed by the one and verified by the other. */
    signedPostRate: async () =>
      POSTS /
      (await timed(() =>
        crowd(POSTS, 50, () =>
          post("/signed", body, { "x-rotor-signature": signRotor(body, [signingKey], Math.floor(Date.now() / 1_000)) }),
        ),
      )),
    /** Two durable commits and two POSTs, one after the other, begun at 200 a second: what S9 cannot do without; milliseconds. */
    async paced(count) {
      const took = [];
      const begun = performance.now();
      const one = async () => {
        const from = performance.now();
        await post("/", body);
        await pool.query({ ...COMMIT, values: [randomUUID(), body] });
        await pool.query({ ...COMMIT, values: [randomUUID(), body] });
        await post("/", body);
        took.push(performance.now() - from);
      };
      const all = [];
      for (let n = 0; n < count; n++) {
        const waitMs = n * 5 - (performance.now() - begun);
        if (waitMs > 0) await pause(waitMs);
        all.push(one());
      }
      await Promise.all(all);
      return { median: quantile(took, 0.5), p99: quantile(took, 0.99) };
    },
    /** Rows a second, inserted a thousand at a time. */
    async insertRate() {
      const seconds = await timed(async () => {
        for (let n = 0; n < ROWS; n += 1_000)
          await client.query({
            name: "bare.bulk",
            text: "insert into bare_rows select id, $2 from unnest($1::uuid[]) as item (id)",
            values: [Array.from({ length: 1_000 }, () => randomUUID()), body],
          });
      });
      return ROWS / seconds;
    },
    /** Steps a second of `RUNS` runs, whose results share a POST, one in flight at a time: each next step waits for it. */
    async laneRate() {
      const runs = Array.from({ length: RUNS }, () => randomUUID());
      await client.query("insert into bare_runs select id, true from unnest($1::uuid[]) as item (id)", [runs]);
      const result = "x".repeat(100);
      const seconds = await timed(async () => {
        for (let step = 0; step < STEPS; step++)
          await post("/lane", JSON.stringify(runs.map((run) => [run, step, result])));
      });
      return (RUNS * STEPS) / seconds;
    },
    async close() {
      bare.disconnect();
      await dispatcher.close();
      await pool.end();
      await client.query("drop table bare_rows, bare_runs, bare_steps");
    },
  };
}
