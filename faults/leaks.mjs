// What is still held when everything has ended: slots, leases, connections, locks, files, memory. Imports nothing of Rotor.
import { readdirSync } from "node:fs";

const MiB = 1024 * 1024;
/** Of a node: two pools of six, its lease, its ear, and one that is being replaced. */
const CONNECTIONS = 16;
/** Descriptors of a node at rest: sockets to Postgres, of the API, to apps, and what Node itself has. */
const FILES = 250;
/** A run as long as this has a slope that means something, in bytes in ten minutes. */
const SLOPE_FROM_MS = 30 * 60_000;
const SLOPE_MOST = MiB;
/** In shorter ones, from a third of the run to its end. */
const GROWTH_MOST = 48 * MiB;

/** From what a node's memory held, swept, over time: by how much it grows in ten minutes, past the first third. */
export function memoryOf(samples) {
  // The last life of the node.
  const own = samples.filter(({ pid }) => pid === samples.at(-1).pid);
  const spanMs = own.at(-1).t - own[0].t;
  const warm = own.filter(({ t }) => t - own[0].t >= spanMs / 3);
  if (warm.length < 3) return {};
  const mean = (of) => warm.reduce((sum, each) => sum + of(each), 0) / warm.length;
  const [meanT, meanBytes] = [mean(({ t }) => t), mean(({ bytes }) => bytes)];
  const covariance = mean(({ t, bytes }) => (t - meanT) * (bytes - meanBytes));
  const slope = covariance / mean(({ t }) => (t - meanT) ** 2);
  const third = Math.ceil(warm.length / 3);
  const least = (list) => Math.min(...list.map(({ bytes }) => bytes));
  return {
    memorySpanMs: spanMs,
    memoryMb: round(meanBytes / MiB),
    memorySlopeMbIn10Min: round((slope * 600_000) / MiB),
    memoryGrowthMb: round((least(warm.slice(-third)) - least(warm.slice(0, third))) / MiB),
    rssMb: round(own.at(-1).rss / MiB),
  };
}
const round = (n) => Math.round(n * 100) / 100;

/** In words, with figures. */
export async function leaksOf({ database, schema, nodes, elder, memory }) {
  const leaks = [];
  const one = async (text) => (await database(text))[0];
  const slots = await one(
    `select count(*)::int as n from ${schema}.slots where until > clock_timestamp() + interval '15 seconds'`,
  );
  if (slots.n > 0) leaks.push({ what: "slots of strict queues", ...slots });
  const blocked = await one(`select count(*)::int as n from ${schema}.jobs where blocked_on is not null`);
  if (blocked.n > 0) leaks.push({ what: "jobs that wait for a key which nobody has", ...blocked });
  const living = await one(
    `select count(*)::int as n from ${schema}.nodes where lease_until > clock_timestamp() - interval '15 seconds'`,
  );
  // One that was killed may be there for a lease.
  if (living.n > 2 * nodes.length) leaks.push({ what: "rows of nodes", ...living });
  const open = await one("select count(*)::int as n from pg_stat_activity where application_name = 'rotor'");
  if (open.n > nodes.length * CONNECTIONS) leaks.push({ what: "connections", ...open });
  const idle = await one(
    "select count(*)::int as n from pg_stat_activity where state like 'idle in transaction%' and state_change < clock_timestamp() - interval '5 seconds'",
  );
  if (idle.n > 0) leaks.push({ what: "transactions that are idle", ...idle });
  const locks = await one(
    "select count(*)::int as n from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and a.state = 'idle'",
  );
  if (locks.n > 0) leaks.push({ what: "advisory locks", ...locks });
  if (process.platform === "linux") {
    const files = readdirSync(`/proc/${elder.pid}/fd`).length;
    if (files > FILES) leaks.push({ what: "files of a node", files });
  }
  if (memory.memorySpanMs >= SLOPE_FROM_MS && memory.memorySlopeMbIn10Min * MiB > SLOPE_MOST)
    leaks.push({ what: "memory: its slope", ...memory });
  if (memory.memoryGrowthMb * MiB > GROWTH_MOST) leaks.push({ what: "memory: its growth", ...memory });
  return leaks;
}
