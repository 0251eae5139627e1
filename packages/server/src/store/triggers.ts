/** Which functions an event starts: those that listen for its name and whose condition holds, each once. */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { type MatchedEvent, triggers } from "../core/match.js";
import { type Queryable, sql } from "./db.js";
import { type Plan, planStart } from "./start-plan.js";

/** An event that is about to be stored under this id. `data` is JSON text. */
export type Coming = {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly key: string;
  readonly data: string;
  readonly tsMs?: number;
  readonly traceparent?: string | undefined;
};

/** A run that an event starts. */
export type Triggered = { readonly eventId: string; readonly function: string; readonly plan: Plan };

const listeners = sql(
  "triggers.listeners",
  `select trigger.queue_id as "queueId", trigger.condition, queue.name, trigger.workspace_id as workspace, trigger.event_name as event,
          queue.starting, floor(extract(epoch from rotor.clock()) * 1000)::float8 as "nowMs"
     from unnest($1::text[], $2::text[]) as item (workspace_id, name)
     join rotor.triggers trigger on trigger.workspace_id = item.workspace_id and trigger.event_name = item.name
     join rotor.queues queue on queue.id = trigger.queue_id
    order by trigger.queue_id, trigger.place`,
);

type Listener = {
  readonly queueId: number;
  readonly condition: string | null;
  readonly name: string;
  readonly workspace: string;
  readonly event: string;
  readonly starting: StartOptions;
  readonly nowMs: number;
};

/**
 * Plans the runs that these events start. Read before any name is locked, since the plans say which names must be. An
 * event without a time of its sender's has that of this look: it is the same wherever an expression meets it.
 */
export async function planTriggers(
  t: Queryable,
  events: readonly Coming[],
): Promise<{ readonly triggered: Triggered[]; readonly tsMs: ReadonlyMap<string, number> }> {
  const names = [...new Map(events.map((event) => [`${event.workspace}/${event.name}`, event])).values()];
  const found = await t.query<Listener>(listeners, [
    names.map((event) => event.workspace),
    names.map((event) => event.name),
  ]);
  const byName = new Map<string, Listener[]>();
  for (const row of found) {
    const name = `${row.workspace}/${row.event}`;
    byName.set(name, [...(byName.get(name) ?? []), row]);
  }
  const tsMs = new Map<string, number>();
  const triggered = events.flatMap((event) => {
    const rows = byName.get(`${event.workspace}/${event.name}`);
    if (rows === undefined) return [];
    const ts = event.tsMs ?? rows[0]!.nowMs;
    tsMs.set(event.id, ts);
    const matched: MatchedEvent = { id: event.key, name: event.name, data: JSON.parse(event.data), ts };
    const meant = rows.filter((row) => triggers(row.condition, matched));
    // One event may meet two triggers of a function.
    return [...new Map(meant.map((row) => [row.queueId, row])).values()].map(
      (row): Triggered => ({ eventId: event.id, function: row.name, plan: planOf(event, ts, row) }),
    );
  });
  return { triggered, tsMs };
}

/** The event as it was sent: its data keeps its own text. */
const bodyOf = ({ key, name, data }: Coming, ts: number): Buffer =>
  Buffer.from(`{"id":${JSON.stringify(key)},"name":${JSON.stringify(name)},"data":${data},"ts":${ts}}`);

const planOf = (event: Coming, ts: number, { queueId, workspace, starting }: Listener): Plan =>
  planStart({
    to: { queueId, workspace, starting },
    byEvent: true,
    job: {
      id: newId(),
      queueId,
      key: `rotor:event:${event.id}`,
      body: bodyOf(event, ts),
      contentType: "application/json",
      eventId: event.id,
      ...(event.traceparent !== undefined && { headers: { traceparent: event.traceparent } }),
    },
  });
