// Plays one scenario on a cluster of its own: its problems and figures, with what every scenario is judged by besides.
import { rmSync } from "node:fs";
import { startCluster } from "./cluster.mjs";

/**
 * `values` are the scenario's options, with `seed` and `nodes`; `tree` is another copy of what is built. The folder of logs stays
 * where something was found, or with `keep`.
 */
export async function playOnce({ scenario, values, tree, keep = false, onFolder = () => undefined }) {
  const cluster = await startCluster({
    seed: values.seed,
    count: Number(values.nodes),
    tree,
    diskMb: scenario.diskMb,
  });
  onFolder(cluster.folder);
  // Whoever interrupts it is not left with its servers.
  const interrupted = () => void cluster.stop().finally(() => process.exit(1));
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, interrupted);
  const problems = [];
  const begunAt = Date.now();
  let figures = {};
  try {
    const outcome = await scenario.play({ cluster, values, tree });
    problems.push(...outcome.problems);
    figures = outcome.figures;
    // A scenario may have asked already, to count them among its own.
    if (scenario.asksDoctor !== true)
      for (const broken of await cluster.violations())
        problems.push({ verdict: "stuck", problem: "a broken invariant", ...broken });
    for (const death of cluster.died) problems.push({ verdict: "broken", problem: "a node ended by itself", ...death });
  } catch (error) {
    problems.push({ verdict: "broken", problem: "the scenario itself failed", error: error.stack });
  } finally {
    await cluster.stop();
    for (const signal of ["SIGINT", "SIGTERM"]) process.removeListener(signal, interrupted);
  }
  if (problems.length === 0 && !keep) rmSync(cluster.folder, { recursive: true, force: true });
  return { problems, figures, folder: cluster.folder, seconds: Math.round((Date.now() - begunAt) / 1_000) };
}
