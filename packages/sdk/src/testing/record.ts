/** What a report makes of a run and of the world around it: the twin of what the server records, in memory. */

import { uuidv7 } from "../ids.js";
import type { AnyReport, EventReport, Report, WireError } from "../protocol.js";
import type { StoredRun, Watch } from "./stored-run.js";
import type { World } from "./world.js";

/** Records reports in their order. What is stored already stays, so a repeated report changes nothing. */
export function recordReports(world: World, run: StoredRun, reports: readonly Report[]): void {
  for (const report of run.fresh(reports)) record(world, run, report);
}

function record(world: World, run: StoredRun, report: Report): void {
  const { key } = report;
  const complete = (output: unknown) =>
    run.end(key, { state: "completed", output: output as never, at: world.moment() });
  const fail = (error: WireError) => run.end(key, { state: "failed", error, at: world.moment() });
  const store = (more: { readonly watches?: readonly Watch[]; readonly child?: string } = {}) =>
    run.store(report, world.nowMs, { watches: [], ...more });

  switch (report.kind) {
    case "run":
      store();
      if (report.outcome === "completed") complete(report.output);
      else if (report.outcome === "failed") fail(report.error);
      return;
    case "sleep":
      store();
      return;
    case "send": {
      const sent = report.events.map((event, index) => ({ id: `rotor:step:${run.id}/${key}/${index}`, ...event }));
      store();
      world.sent.push(...report.events);
      const events = sent.map((event) => world.publish(event));
      complete({ events: events.map(({ id, runs }) => ({ id, runs: runs.map((started) => started.id) })) });
      return;
    }
    case "event":
    case "any": {
      const watches = watchesOf(report);
      const signal = watches.find((watch) => "signal" in watch && world.waitFor(watch.signal));
      store({ watches });
      const mistake = mistakeOf(world, run, watches);
      if (mistake !== undefined) fail({ name: "InvalidMatchError", message: mistake });
      else if (signal && "signal" in signal) fail(taken(signal.signal));
      else lookBack(world, run, report);
      return;
    }
    case "signal": {
      const holder = world.waitFor(report.signal);
      store({ watches: [{ signal: report.signal }] });
      if (holder) fail(taken(report.signal));
      return;
    }
    case "invoke": {
      const id = uuidv7(world.nowMs);
      store({ child: id });
      if (!world.has(report.function)) {
        fail({ name: "NotFoundError", message: `There is no function named ${report.function}.` });
        return;
      }
      world.start(report.function, { name: "rotor/run.invoked", data: report.data }, { id });
      return;
    }
    case "enqueue": {
      const { queue, payload, options, wait } = report;
      const first = world.jobs.find((job) => job.queue === queue && job.options.job_id === options.job_id);
      const duplicate = options.job_id !== undefined && first !== undefined;
      const id = duplicate ? first.id : uuidv7(world.nowMs);
      store({ ...(wait && !duplicate && { child: id }) });
      if (!duplicate) world.jobs.push({ id, queue, payload, options, run, step: key });
      if (!wait) complete({ id, duplicate });
      else if (duplicate) {
        const message = `A job with this id exists already (${id}), so its end cannot be waited for. Leave out the id, or the wait.`;
        fail({ name: "DuplicateJobError", message });
      }
    }
  }
}

const taken = (signal: string): WireError => ({
  name: "SignalTakenError",
  message: `Another wait holds the signal ${signal}. Choose an id of its own.`,
});

const watchesOf = (report: EventReport | AnyReport): readonly Watch[] =>
  report.kind === "any"
    ? report.parts
    : [{ event: report.event, ...(report.match !== undefined && { match: report.match }) }];

function mistakeOf(world: World, run: StoredRun, watches: readonly Watch[]): string | undefined {
  for (const watch of watches) {
    const match = "event" in watch ? watch.match : undefined;
    const mistake = typeof match === "string" ? world.checkMatch(run, match) : undefined;
    if (mistake !== undefined) return `match ${JSON.stringify(match)}: ${mistake}`;
  }
  return undefined;
}

/**
 * Ends a wait with the first event that came since the step before it could first start, and that the run has not been
 * given: see `after` and `previous` in `docs/protocol.md`.
 */
function lookBack(world: World, run: StoredRun, report: EventReport | AnyReport): void {
  const { key, after, previous, since_ms } = report;
  const ends = [after, previous].flatMap((name) => (name === undefined ? [] : (run.steps.get(name)?.endedAt ?? [])));
  const since = ends.length > 0 ? Math.min(...ends) : run.created.at;
  const step = run.steps.get(key)!;
  const found = world.events.find((event) => {
    const counts = since_ms === undefined ? event.at >= since : event.ms > world.nowMs - since_ms;
    return counts && !run.consumed.has(event.id) && step.watches.some((watch) => world.fits(run, watch, event));
  });
  if (found) world.endWith(run, step, found, found.at);
}
