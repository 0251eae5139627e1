// S1 to S5: what a step, a run and a sleep cost.
import { crowd, pause, quantile, timed } from "./stage.mjs";

const median = (list) => quantile(list, 0.5);

/** S1: runs of ten steps, 50 in flight, from their start to their end; steps a second. */
export async function sequences(stage, runs, { app, bytes = 100 } = {}) {
  const seconds = await timed(async () => {
    await crowd(runs, 50, () => stage.rotor.runs.start(app ?? "sequence", { steps: 10, bytes }));
    await stage.untilDone(app ?? "sequence");
  });
  return (runs * 10) / seconds;
}

/** Starts a run and waits for its end, by one call. */
const finish = (stage, name, data) =>
  stage.finish?.(name, data) ?? stage.rotor.runs.invoke(name, data, { timeout: "30s" });

/** S1 as a closed loop: 50 callers, each of which starts a run when its last one has ended; steps a second. */
export const inFlight = async (stage, runs, { app = "sequence", bytes = 100 } = {}) =>
  (runs * 10) / (await timed(() => crowd(runs, 50, () => finish(stage, app, { steps: 10, bytes }))));

/** S2: one run of ten steps alone, from start to end; milliseconds. */
export async function lone(stage, runs) {
  const times = [];
  for (let n = 0; n < runs; n++) times.push(await timed(() => finish(stage, "sequence", { steps: 10 })));
  return median(times) * 1_000;
}

/** S3: how much longer the last hundred steps of a long run take than the first hundred. */
export async function gap(stage, steps) {
  const { runId } = await stage.rotor.runs.start("gaps", { steps });
  const times = await stage.rotor.runs.result(runId, { timeout: "60s" });
  const between = (from, to) => median(times.slice(from + 1, to).map((time, index) => time - times[from + index]));
  return between(steps - 100, steps) / between(0, 100);
}

/** S4: a hundred parallel steps alone; milliseconds. */
export async function parallel(stage, runs) {
  const times = [];
  for (let n = 0; n < runs; n++) times.push(await timed(() => finish(stage, "parallel", { steps: 100 })));
  return median(times) * 1_000;
}

/** S5: how late sleeps of five seconds end, started over `overMs`, or all due at one instant; milliseconds. */
export async function sleeps(stage, count, { atOnce }) {
  await stage.ask("woken");
  const begun = Date.now();
  const dueAt = (n) => begun + 5_000 + (atOnce ? 0 : Math.floor((n / count) * 1_000));
  await crowd(count, 50, (n) => stage.rotor.runs.start("sleeper", { until: dueAt(n), dueAt: dueAt(n) }));
  const late = [];
  for (const limit = Date.now() + 60_000; late.length < count && Date.now() < limit; await pause(50))
    late.push(...(await stage.ask("woken")).woken);
  if (late.length !== count) throw new Error(`${late.length} of ${count} sleeps ended`);
  return { median: median(late), p99: quantile(late, 0.99), last: Math.max(...late) };
}
