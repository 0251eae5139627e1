// The app of `faults -- restarts`: runs of some steps, one after the other and side by side, each with a line in the log
// before it begins, after it ended, and when its result was durable.
import { createFunction } from "@rotorsh/sdk";
import { sleep } from "./log.mjs";
import { by, log, serve } from "./serve.mjs";

const work = createFunction({ id: "work", retries: 20, concurrency: 100 }, async ({ event, step, runId }) => {
  const { ms } = event.data;
  const one = async (name) => {
    const what = `${runId}/${name}`;
    const code = async () => {
      log({ phase: "begin", what, ...by() });
      await sleep(ms);
      log({ phase: "end", what, ...by() });
      return name;
    };
    const result = await step.run(name, code);
    // Each replay says so again: the first time counts.
    log({ phase: "durable", what, ...by() });
    return result;
  };
  const results = [await one("first"), ...(await Promise.all([one("a"), one("b"), one("c")]))];
  await step.sleep("nap", "50ms");
  for (let n = 0; n < 3; n++) results.push(await one(`loop-${n}`));
  return results;
});

serve({ functions: [work] });
