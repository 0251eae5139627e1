// S15: more servers on one Postgres. What they drain in sum, beside what one of them does.
import { bulk, drain } from "./jobs.mjs";
import { warmUp } from "./stage.mjs";

/** Jobs a second of one, two, three servers; each new one has worked for `warmMs` by then. Answers how many were delivered, too. */
export async function nodes(stage, jobs, warmMs) {
  const rates = [];
  const others = [];
  let delivered = 0;
  const drained = async (count) => {
    await bulk(stage, "drain", count);
    const rate = await drain(stage, "drain", count);
    delivered += count;
    return rate;
  };
  try {
    for (let count = 1; count <= 3; count++) {
      if (count > 1) others.push(await stage.openNode());
      await warmUp(warmMs, () => drained(5_000));
      rates.push(await drained(jobs));
    }
  } finally {
    for (const node of others) await node.stop();
  }
  return { rates, delivered };
}
