/**
 * How a workspace stands, over HTTP: what the overview shows. A look is shared by all who ask soon after it, so any number of
 * people who watch cost what one does; and the longer a look takes, the longer it is kept.
 */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { problemsOf } from "../core/standing.js";
import {
  countQueues,
  countSpecial,
  estimateJobs,
  listNodes,
  listTroubles,
  queueHeads,
  readPulse,
  type Special,
} from "../store/stats.js";
import { talliesByQueue, talliesByTime } from "../store/tallies.js";
import { type Api, endpoint } from "./endpoint.js";
import type { Engine } from "./engine.js";
import { time } from "./schemas.js";

/** Spans that can be asked for, and the length of the parts in which each is drawn. */
const WINDOWS = {
  "1h": { spanMs: 3_600_000, partS: 60 },
  "6h": { spanMs: 6 * 3_600_000, partS: 300 },
  "24h": { spanMs: 24 * 3_600_000, partS: 900 },
} as const;
type Window = keyof typeof WINDOWS;

const count = z
  .object({
    count: z.number().int(),
    exact: z.boolean().openapi({ description: "False: there are many, and `count` is about how many." }),
  })
  .openapi("Count");
type Count = z.infer<typeof count>;

const kind = z.enum(["callback", "function"]);

const statsJson = z
  .object({
    at: time,
    window: z.enum(["1h", "6h", "24h"]),
    environment: z.string(),
    held: z.boolean(),
    status: z.enum(["ok", "trouble"]).openapi({ description: "`ok`: there are no problems." }),
    problems: z
      .array(
        z.object({
          type: z.string().openapi({ example: "queue.late" }),
          severity: z.enum(["error", "warning"]),
          subject: z.string().nullable(),
          kind: kind.nullable(),
          since: time.nullable(),
          message: z.string(),
        }),
      )
      .openapi({ description: "The worst first." }),
    totals: z.object({
      due: count,
      waiting: count,
      active: count,
      blocked: count,
      pending_approval: count,
      held: count,
      failed: count,
      ended: z.number().int().openapi({ description: "Deliveries in the window." }),
      failures: z.number().int().openapi({ description: "Of these, those that failed." }),
    }),
    queues: z.array(
      z.object({
        name: z.string(),
        kind,
        paused_at: time.nullable(),
        breaker_until: time.nullable(),
        concurrency: z.number().int().nullable(),
        due: count.openapi({ description: "Jobs whose time is there." }),
        waiting: count.openapi({ description: "These, and those of later times." }),
        active: count,
        blocked: count.openapi({ description: "Jobs that wait for a concurrency key or a value of a rate key." }),
        failed: count,
        oldest_due_at: time.nullable(),
        ended: z.number().int(),
        failures: z.number().int(),
        failing_since: time.nullable(),
      }),
    ),
    more_queues: z.boolean().openapi({ description: "There are more than are told; they count in nothing here." }),
    series: z.object({
      from: time,
      step_s: z.number().int(),
      ended: z.array(z.number().int()),
      failures: z.array(z.number().int()),
      wait_ms: z
        .array(z.number().int().nullable())
        .openapi({ description: "The longest that a delivery of the part had been due when it was sent off." }),
    }),
    nodes: z.array(z.object({ id: z.string(), label: z.string(), started_at: time, alive: z.boolean() })),
    store: z.object({ store: z.string(), oldest_transaction_ms: z.number().nullable() }),
  })
  .openapi("Stats");
type Stats = z.infer<typeof statsJson>;

/** A look takes at most this part of the time. */
const SHARE = 20;

/** Hangs the route. */
export function stats(api: Api): void {
  const { engine } = api;
  const kept = new Map<string, { readonly stats: Promise<Stats>; until: number }>();

  const shared = (workspace: string, window: Window): Promise<Stats> => {
    const key = `${window} ${workspace}`;
    const known = kept.get(key);
    if (known !== undefined && known.until > performance.now()) return known.stats;
    if (kept.size >= KEPT) kept.clear();
    const startedAt = performance.now();
    const entry = { stats: look(engine, workspace, window), until: Number.POSITIVE_INFINITY };
    kept.set(key, entry);
    entry.stats.then(
      () => {
        const tookMs = performance.now() - startedAt;
        entry.until = performance.now() + Math.max(limits.statsKeptMs, tookMs * SHARE);
      },
      // Told to who asked, and not kept.
      () => kept.get(key) === entry && kept.delete(key),
    );
    return entry.stats;
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/stats",
      summary: "How the workspace stands: what is due, late, failing, and since when",
      tag: "stats",
      query: z.object({ window: z.enum(["1h", "6h", "24h"]).optional().openapi({ description: 'Default "1h".' }) }),
      answers: { 200: ["As it was some seconds ago, at most.", statsJson] },
    },
    async ({ c, workspace, query: { window = "1h" } }) => c.json(await shared(workspace, window)),
  );
}

/** Workspaces whose last look is kept. */
const KEPT = 1_000;

async function look(engine: Engine, workspace: string, window: Window): Promise<Stats> {
  const { db } = engine;
  const { spanMs, partS } = WINDOWS[window];
  const found = await queueHeads(db, workspace, limits.statsQueues + 1);
  const heads = found.slice(0, limits.statsQueues);
  const ids = heads.map(({ id }) => id);
  const bound = Math.max(limits.statsCountedLeast, Math.floor(limits.statsCounted / Math.max(1, ids.length)));
  // One after another: who looks takes one connection of the pool, not all of them.
  const counted = new Map((await countQueues(db, ids, bound)).map((row) => [row.queueId, row]));
  const special = await countSpecial(db, limits.watchJobs);
  const tallies = new Map(
    (await talliesByQueue(db, ids, spanMs, limits.failingMs)).map((tally) => [tally.queueId, tally]),
  );
  const points = await talliesByTime(db, ids, spanMs, partS);
  const troubles = await listTroubles(db, workspace, limits.scheduleMissedMs);
  const nodes = await listNodes(db);
  const pulse = await readPulse(db);

  let estimates = limits.statsEstimates;
  const counts = async (queueId: number, state: "waiting" | "active" | "failed", seen: number): Promise<Count> => {
    if (seen < bound) return { count: seen, exact: true };
    const guess = estimates-- > 0 ? await estimateJobs(db, queueId, state) : 0;
    return { count: Math.max(seen, Math.round(guess)), exact: false };
  };
  const specialOf = (what: Special["what"], queueIds: readonly number[]): Count => {
    const mine = special.filter((row) => row.what === what && queueIds.includes(row.queueId));
    const all = special.filter((row) => row.what === what || (what !== "blocked" && row.what !== "blocked"));
    return { count: sumOf(mine), exact: sumOf(all) < limits.watchJobs };
  };

  const rows = [];
  for (const head of heads) {
    const seen = counted.get(head.id)!;
    const tally = tallies.get(head.id);
    const recentEnded = tally?.recentEnded ?? 0;
    const recentFailed = tally?.recentFailed ?? 0;
    const waiting = await counts(head.id, "waiting", seen.waiting);
    // All that were looked at are due: so may the others be.
    const due = seen.due === bound ? waiting : { count: seen.due, exact: true };
    rows.push({
      head,
      seen,
      due,
      waiting,
      active: await counts(head.id, "active", seen.active),
      failed: await counts(head.id, "failed", seen.failed),
      blocked: specialOf("blocked", [head.id]),
      tally: { ended: tally?.ended ?? 0, failed: tally?.failed ?? 0 },
      standing: {
        ...head,
        due: seen.due,
        oldestDueAt: seen.oldestDueAt,
        recentEnded,
        recentFailed,
        recentFailedAt: tally?.recentFailedAt ?? null,
      },
    });
  }
  const alive = nodes.filter((node) => node.alive).length;
  const problems = problemsOf({
    now: pulse.now,
    held: engine.isHeld(),
    environment: engine.config.environment,
    nodes: alive,
    queues: rows.map(({ standing }) => standing),
    troubles,
  });
  const failing = new Map(
    problems.flatMap(({ type, kind: of, subject, since }) =>
      type === "queue.failing" ? [[`${of} ${subject}`, since] as const] : [],
    ),
  );

  return {
    at: pulse.now.toISOString(),
    window,
    environment: engine.config.environment,
    held: engine.isHeld(),
    status: problems.length === 0 ? "ok" : "trouble",
    problems: problems.map(({ since, ...problem }) => ({ ...problem, since: textOf(since) })),
    totals: {
      due: totalOf(rows.map(({ due }) => due)),
      waiting: totalOf(rows.map(({ waiting }) => waiting)),
      active: totalOf(rows.map(({ active }) => active)),
      blocked: specialOf("blocked", ids),
      pending_approval: specialOf("pending_approval", ids),
      held: specialOf("held", ids),
      failed: totalOf(rows.map(({ failed }) => failed)),
      ended: rows.reduce((sum, { tally }) => sum + tally.ended, 0),
      failures: rows.reduce((sum, { tally }) => sum + tally.failed, 0),
    },
    queues: rows.map(({ head, seen, due, waiting, active, failed, blocked, tally }) => ({
      name: head.name,
      kind: head.kind,
      paused_at: textOf(head.pausedAt),
      breaker_until: textOf(head.openAt),
      concurrency: head.concurrency,
      due,
      waiting,
      active,
      blocked,
      failed,
      oldest_due_at: textOf(seen.oldestDueAt),
      ended: tally.ended,
      failures: tally.failed,
      failing_since: textOf(failing.get(`${head.kind} ${head.name}`) ?? null),
    })),
    more_queues: found.length > heads.length,
    series: {
      from: points[0]!.at.toISOString(),
      step_s: partS,
      ended: points.map(({ ended }) => ended),
      failures: points.map(({ failed }) => failed),
      wait_ms: points.map(({ waitMs }) => waitMs),
    },
    nodes: nodes.map(({ id, label, startedAt, alive: lives }) => ({
      id,
      label,
      started_at: startedAt.toISOString(),
      alive: lives,
    })),
    store: { store: engine.config.store, oldest_transaction_ms: pulse.ms === null ? null : Math.round(pulse.ms) },
  };
}

const sumOf = (rows: readonly Special[]): number => rows.reduce((sum, row) => sum + row.count, 0);

const totalOf = (counts: readonly Count[]): Count => ({
  count: counts.reduce((sum, each) => sum + each.count, 0),
  exact: counts.every((each) => each.exact),
});

const textOf = (date: Date | null): string | null => date?.toISOString() ?? null;
