/** Metrics for Prometheus: what this node has counted, and how the stored work of all workspaces stands just now. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { countQueues, countSpecial, listNodes, queueHeads, readPulse } from "../store/stats.js";
import { type Api, endpoint } from "./endpoint.js";

/** Hangs the route. It tells of all workspaces, so it asks for who may see all of them. */
export function metrics(api: Api): void {
  const { db, metrics: counted } = api.engine;

  endpoint(
    api,
    "workspaces",
    {
      method: "get",
      path: "/metrics",
      summary: "Metrics of all workspaces, for Prometheus",
      tag: "server",
      answers: { 200: ["Prometheus' text format.", z.string()] },
    },
    async ({ c }) => {
      const heads = await queueHeads(db, null, limits.statsQueues);
      const bound = Math.max(limits.statsCountedLeast, Math.floor(limits.statsCounted / Math.max(1, heads.length)));
      const counts = new Map(
        (
          await countQueues(
            db,
            heads.map(({ id }) => id),
            bound,
          )
        ).map((row) => [row.queueId, row]),
      );
      const special = await countSpecial(db, limits.watchJobs);
      const nodes = await listNodes(db);
      const pulse = await readPulse(db);
      const rows = heads.map(({ id, workspace, name, kind, concurrency }) => ({
        labels: { rotor_workspace: workspace, messaging_destination_name: name, rotor_kind: kind },
        concurrency,
        counted: counts.get(id)!,
      }));
      const text = await counted.expose({
        rotor_jobs: rows.flatMap(({ labels, counted: { due, waiting, active, failed } }) =>
          Object.entries({ due, waiting, active, failed }).map(([state, value]) => ({
            labels: { ...labels, rotor_state: state },
            value,
          })),
        ),
        rotor_jobs_special: (["blocked", "pending_approval", "held"] as const).map((what) => ({
          labels: { rotor_state: what },
          value: special.filter((row) => row.what === what).reduce((sum, row) => sum + row.count, 0),
        })),
        rotor_concurrency_limit: rows.flatMap(({ labels, concurrency }) =>
          concurrency === null ? [] : [{ labels, value: concurrency }],
        ),
        rotor_oldest_due_seconds: rows.map(({ labels, counted: { oldestDueAt } }) => ({
          labels,
          value: oldestDueAt === null ? 0 : (pulse.now.getTime() - oldestDueAt.getTime()) / 1_000,
        })),
        rotor_nodes: [{ value: nodes.filter(({ alive }) => alive).length }],
        rotor_oldest_transaction_seconds: [{ value: (pulse.ms ?? 0) / 1_000 }],
        rotor_db_connections: db.pools().flatMap(({ pool, total, idle, waiting }) => [
          { labels: { rotor_pool: pool, rotor_state: "busy" }, value: total - idle },
          { labels: { rotor_pool: pool, rotor_state: "idle" }, value: idle },
          { labels: { rotor_pool: pool, rotor_state: "waited_for" }, value: waiting },
        ]),
      });
      return c.body(text, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
    },
  );
}
