// `npm run faults -- limits --seconds 60 --seed 7`: three servers, fifty keys, two queues, and nodes killed at random. The
// database counts at every commit, the endpoint with its own gauge: neither may ever see one more than a limit allows.

import { createServer } from "node:http";
import { SCHEMA } from "./cluster.mjs";
import { diceOf, sleep } from "./log.mjs";

const KEYS = 50;
/** After the last kill, every slot must be free again within this. */
const FREE_MS = 15_000;
/**
 * Delivery limit of the strict queue; the endpoint always answers sooner. Longer than a lease, so that work goes on at the
 * endpoint when its job is given back; with the grace of 5 s still within what a slot may take to be free.
 */
const STRICT_TIMEOUT_MS = 9_000;
const OPEN = { name: "open", concurrency: 30 };
/** Shares its keys with the open one: the lock on a queue does not keep their claims apart. */
const SHARED = { name: "shared", concurrency: 30 };
const STRICT = { name: "strict", concurrency: 8, strict_concurrency: true, timeout: `${STRICT_TIMEOUT_MS}ms` };

/** Written at the commit that breaks a limit, under the locks that its claim holds until then. */
const WATCH = `
  create table ${SCHEMA}.watched (what text, name text, now int, most int, at timestamptz default clock_timestamp());
  create function ${SCHEMA}.watch() returns trigger language plpgsql as $$
  declare n int; m int;
  begin
    select count(*), max(q.concurrency) into n, m from ${SCHEMA}.jobs j join ${SCHEMA}.queues q on q.id = j.queue_id
     where j.queue_id = new.queue_id and j.state = 'active';
    if n > m then insert into ${SCHEMA}.watched (what, name, now, most) values ('queue', new.queue_id::text, n, m); end if;
    if new.key_id is not null then
      select count(*), max(k.concurrency) into n, m from ${SCHEMA}.jobs j join ${SCHEMA}.keys k on k.id = j.key_id
       where j.key_id = new.key_id and j.state = 'active';
      if n > m then insert into ${SCHEMA}.watched (what, name, now, most) values ('key', new.key_id::text, n, m); end if;
    end if;
    return null;
  end $$;
  create constraint trigger watch after update of state on ${SCHEMA}.jobs deferrable initially deferred
    for each row when (new.state = 'active' and old.state <> 'active') execute function ${SCHEMA}.watch();`;

export const nodes = 3;
export const options = { seconds: { type: "string", default: "60" } };

export async function play({ cluster, values }) {
  const { nodes, database, call } = cluster;
  const limitOf = (key) => (key % 5 === 0 ? 3 : 1);
  const problems = [];
  /** The endpoint's own gauge: requests that it is at work on, by what limits them. */
  const gauge = new Map();
  let most = 0;
  let handled = 0;
  const dice = diceOf(values.seed, "endpoint");
  const endpoint = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const { queue, key } = JSON.parse(Buffer.concat(chunks).toString());
      // What an endpoint sees is promised for strict queues only.
      const limits =
        queue === "strict"
          ? [
              ["queue strict", STRICT.concurrency],
              [`key strict-${key}`, limitOf(key)],
            ]
          : [];
      for (const [name, limit] of limits) {
        const now = (gauge.get(name) ?? 0) + 1;
        gauge.set(name, now);
        if (now > limit)
          problems.push({ problem: "the endpoint saw more than the limit", name, now, limit, at: Date.now() });
        if (name === "queue strict") most = Math.max(most, now);
      }
      // Now and then almost as long as it may take; a handler works on when its caller dies.
      const long = queue === "strict" && dice.roll() < 0.05;
      await sleep(long ? dice.between(4_000, STRICT_TIMEOUT_MS - 300) : dice.between(5, 150));
      for (const [name] of limits) gauge.set(name, gauge.get(name) - 1);
      handled++;
      // What fails comes back by itself, and asks for its key's turn then.
      response.statusCode = dice.roll() < 0.1 ? 500 : 200;
      response.end("ok");
    });
  });
  await new Promise((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${endpoint.address().port}/`;

  let sent = 0;
  let sending = true;
  let begun = Date.now();
  /** Enqueues through whichever node answers; ids of its own, so that a repetition is none. */
  async function send() {
    const roll = diceOf(values.seed, "client");
    while (sending) {
      const jobs = Array.from({ length: 12 }, () => {
        const queue = roll.roll() < 0.3 ? "strict" : roll.roll() < 0.5 ? "open" : "shared";
        const key = roll.between(0, KEYS - 1);
        const order = roll.roll() < 0.2 ? { key_order: "strict" } : {};
        // What is delayed asks for its turn when it is due, and meets others then.
        const when = roll.roll() < 0.3 ? { delay: `${roll.between(50, 1_500)}ms` } : {};
        const name = `${queue === "strict" ? "strict" : "open"}-${key}`;
        return {
          queue,
          body: { payload: { queue, key }, job_id: `job-${sent++}`, concurrency_key: name, ...order, ...when },
        };
      });
      for (const queue of ["strict", "open", "shared"]) {
        const batch = jobs.filter((job) => job.queue === queue).map((job) => job.body);
        for (let n = 0; batch.length > 0; n++) {
          const done = await call(
            "POST",
            `/v1/queues/${queue}/jobs/batch`,
            { jobs: batch },
            nodes[n % nodes.length],
          ).catch(() => undefined);
          if (done !== undefined) break;
          await sleep(100);
        }
      }
      await sleep(150);
    }
  }

  let kills = 0;
  try {
    await Promise.all(nodes.map((node) => node.start(1)));
    await database(WATCH);
    for (const queue of [OPEN, SHARED, STRICT])
      await call("POST", "/v1/queues", {
        ...queue,
        callback_url: url,
        retry: { backoff: "fixed", min: "200ms", max_attempts: 50 },
      });
    for (let key = 0; key < KEYS; key++)
      for (const queue of ["strict", "open"])
        if (limitOf(key) > 1) await call("PUT", `/v1/concurrency-keys/${queue}-${key}`, { limit: limitOf(key) });
    begun = Date.now();
    const sender = send();
    const roll = diceOf(values.seed, "kills");
    while (Date.now() - begun < Number(values.seconds) * 1_000) {
      await sleep(roll.between(300, 2_500));
      const node = roll.pick(nodes);
      await node.kill("SIGKILL");
      kills++;
      await sleep(roll.between(0, 1_500));
      await node.start();
    }
    sending = false;
    await sender;
    // The last kill: what it left behind must be free again in time.
    const living = async () =>
      Number(
        (
          await database(
            `select (select count(*) from ${SCHEMA}.jobs job where state = 'active' and node_id = any($1::uuid[]))
          + (select count(*) from ${SCHEMA}.slots where until > clock_timestamp()) as count`,
            [victims],
          )
        )[0].count,
      );
    const before = (await database(`select id, label from ${SCHEMA}.nodes`)).filter(
      (row) => row.label === `node-${nodes[2].port}`,
    );
    const victims = before.map((row) => row.id);
    await nodes[2].kill("SIGKILL");
    kills++;
    const killedAt = Date.now();
    while ((await living()) > 0 && Date.now() - killedAt < 60_000) await sleep(50);
    const freeMs = Date.now() - killedAt;
    if (freeMs > FREE_MS) problems.push({ problem: "slots were not free in time", freeMs });
    const left = async () =>
      Number((await database(`select count(*) from ${SCHEMA}.jobs where due_at is not null`))[0].count);
    while ((await left()) > 0 && Date.now() - killedAt < 120_000) await sleep(200);
    if ((await left()) > 0) problems.push({ problem: "jobs did not end", left: await left() });
    const jobs = Number((await database(`select count(*) from ${SCHEMA}.jobs where state = 'completed'`))[0].count);
    for (const row of await database(`select * from ${SCHEMA}.watched limit 20`))
      problems.push({ problem: "the database held more than the limit", ...row });
    if (kills < Number(values.seconds) / 10) problems.push({ problem: "too few kills", kills });
    return { problems, figures: { kills, jobs, handled, most, freeMs } };
  } finally {
    sending = false;
    endpoint.closeAllConnections();
    endpoint.close();
  }
}
