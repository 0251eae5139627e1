// S13: a great many jobs that wait for one key, whose turn another has; what that costs the jobs of other queues.
import { latency } from "./jobs.mjs";
import { blockedJobs } from "./load.mjs";
import { pause } from "./stage.mjs";

/** Milliseconds, p99, of jobs of another queue from their enqueue to their endpoint: without the blocked ones, and with them. */
export async function blocked(stage, { count, timed, rounds }) {
  const { rotor, client, schema } = stage;
  const measure = async () => {
    const all = [];
    for (let n = 0; n < rounds; n++) all.push((await latency(stage, "timed", timed)).p99);
    return all.sort((a, b) => a - b)[Math.floor(rounds / 2)];
  };
  const empty = await measure();
  await rotor.queues.create("blocked", { callbackUrl: `${stage.appUrl}/hang`, timeout: "1h" });
  const holder = await rotor.jobs.enqueue("blocked", { payload: {}, concurrencyKey: "one" });
  for (const until = Date.now() + 10_000; ; await pause(20)) {
    if ((await rotor.jobs.get("blocked", holder.id)).state === "active") break;
    if (Date.now() > until) throw new Error("the holder of the key did not begin");
  }
  const { rows } = await client.query(
    `select job.queue_id as queue, key.id as key from ${schema}.jobs job join ${schema}.keys key on key.id = job.key_id where job.id = $1`,
    [holder.id],
  );
  await blockedJobs(stage, rows[0].queue, rows[0].key, count);
  // What the loading left to be written is not what is measured.
  await client.query("vacuum analyze");
  await client.query("checkpoint");
  return { empty, full: await measure() };
}
