// S15: more servers on one Postgres. What they drain in sum, beside what one of them does.
import { bulk, drain } from "./jobs.mjs";

/** Jobs a second of one, two, three servers. */
export async function nodes(stage, jobs) {
  const rates = [];
  const others = [];
  try {
    for (let count = 1; count <= 3; count++) {
      if (count > 1) others.push(await stage.openNode());
      await bulk(stage, "drain", jobs);
      rates.push(await drain(stage, "drain", jobs));
    }
  } finally {
    for (const node of others) await node.stop();
  }
  return rates;
}
