/**
 * What this node counts for Prometheus: how deliveries, steps and events go. Names are OpenTelemetry's for messaging where it
 * has one, `rotor_…` elsewhere. How the stored work stands is read when it is asked for, by `http/metrics.ts`.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Seconds: from what a local endpoint takes to what a time limit allows. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];

/** Of which queue something is. */
export type OfQueue = { readonly workspace: string; readonly queue: string; readonly kind: string };

/** A figure that is read when it is asked for. */
export type Reading = { readonly labels?: Readonly<Record<string, string>>; readonly value: number };

export type Metrics = {
  /** A delivery ended. `outcome`: as it is logged, or `stale` where another came first. */
  delivered(of: OfQueue, outcome: string, durationMs: number, waitedMs: number): void;
  /** A step's result was recorded. `ms`: how long a `step.run` took. */
  stepped(of: OfQueue, kind: string, state: string, ms: number | undefined): void;
  published(workspace: string, event: { readonly started: number; readonly resumed: number }): void;
  /** All of it, with the readings by their names, in Prometheus' text format. */
  expose(readings: Readonly<Record<keyof typeof READ, readonly Reading[]>>): Promise<string>;
};

/** What is read when it is asked for, and what it means. */
const READ = {
  rotor_jobs:
    "Jobs and runs by what they wait for, counted up to a bound: due, waiting (the due among them), active, failed.",
  rotor_jobs_special:
    "Jobs of all queues that are blocked by a key, wait for approval, or are held; counted up to a bound.",
  rotor_concurrency_limit: "Deliveries that a queue may have in hand; queues without a limit are not here.",
  rotor_oldest_due_seconds: "How long the oldest due job of a queue has waited.",
  rotor_nodes: "Servers that are alive.",
  rotor_oldest_transaction_seconds:
    "Age of the oldest open transaction in the database: what it holds back, no vacuum removes.",
  rotor_db_connections: "Connections of this node, by pool and whether they are busy; and callers that wait for one.",
} as const;

export function createMetrics(): Metrics {
  const register = new Registry();
  const registers = [register];
  const ofQueue = ["rotor_workspace", "messaging_destination_name", "rotor_kind"] as const;
  const duration = new Histogram({
    name: "messaging_process_duration_seconds",
    help: "How long deliveries took, from being sent off to the end of the answer.",
    labelNames: ofQueue,
    buckets: BUCKETS,
    registers,
  });
  const wait = new Histogram({
    name: "rotor_delivery_wait_seconds",
    help: "From being due, such as by the event that a run waited for, until sent off.",
    labelNames: ofQueue,
    buckets: BUCKETS,
    registers,
  });
  const deliveries = new Counter({
    name: "rotor_deliveries_total",
    help: "Deliveries that ended, by outcome. stale: another delivery or a cancel came first, and the write was fenced off.",
    labelNames: [...ofQueue, "rotor_outcome"],
    registers,
  });
  const steps = new Counter({
    name: "rotor_steps_total",
    help: "Results of steps that were recorded.",
    labelNames: [...ofQueue, "rotor_step_kind", "rotor_step_state"],
    registers,
  });
  const stepDuration = new Histogram({
    name: "rotor_step_duration_seconds",
    help: "How long the code of step.run took.",
    labelNames: ofQueue,
    buckets: BUCKETS,
    registers,
  });
  const events = new Counter({
    name: "messaging_client_published_messages_total",
    help: "Events that were published.",
    labelNames: ["rotor_workspace"],
    registers,
  });
  const effects = new Counter({
    name: "rotor_event_effects_total",
    help: "Runs that events started, and waits that they ended, in the commit that stored them.",
    labelNames: ["rotor_workspace", "rotor_effect"],
    registers,
  });
  const gauges = new Map(
    Object.entries(READ).map(([name, help]) => [
      name,
      new Gauge({ name, help, labelNames: LABELS[name as keyof typeof READ], registers }),
    ]),
  );
  const labelsOf = ({ workspace, queue, kind }: OfQueue) => ({
    rotor_workspace: workspace,
    messaging_destination_name: queue,
    rotor_kind: kind,
  });
  let isWatched = false;

  return {
    delivered(of, outcome, durationMs, waitedMs) {
      const labels = labelsOf(of);
      duration.observe(labels, durationMs / 1_000);
      wait.observe(labels, waitedMs / 1_000);
      deliveries.inc(Object.assign({}, labels, { rotor_outcome: outcome }));
    },
    stepped(of, kind, state, ms) {
      const labels = labelsOf(of);
      steps.inc(Object.assign({}, labels, { rotor_step_kind: kind, rotor_step_state: state }));
      if (ms !== undefined) stepDuration.observe(labels, ms / 1_000);
    },
    published(workspace, { started, resumed }) {
      const labels = { rotor_workspace: workspace };
      events.inc(labels);
      if (started > 0) effects.inc({ ...labels, rotor_effect: "started" }, started);
      if (resumed > 0) effects.inc({ ...labels, rotor_effect: "resumed" }, resumed);
    },
    async expose(readings) {
      // The process is watched from then on that somebody asks: it has a cost of its own.
      if (!isWatched) collectDefaultMetrics({ register });
      isWatched = true;
      for (const [name, gauge] of gauges) {
        // Queues that are gone must not stand still for ever.
        gauge.reset();
        for (const { labels, value } of readings[name as keyof typeof READ]) gauge.set({ ...labels }, value);
      }
      return register.metrics();
    },
  };
}

const QUEUE = ["rotor_workspace", "messaging_destination_name", "rotor_kind"];
const LABELS: Readonly<Record<keyof typeof READ, readonly string[]>> = {
  rotor_jobs: [...QUEUE, "rotor_state"],
  rotor_jobs_special: ["rotor_state"],
  rotor_concurrency_limit: QUEUE,
  rotor_oldest_due_seconds: QUEUE,
  rotor_nodes: [],
  rotor_oldest_transaction_seconds: [],
  rotor_db_connections: ["rotor_pool", "rotor_state"],
};
