/** Queues and functions as what is put into them needs them, found by name: one look for all who ask at the same time. */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { type BatchWriter, batchWriter } from "./batch.js";
import { type Db, hot } from "./db.js";
import { isDisconnect } from "./outage.js";
import type { Startable } from "./start-plan.js";

/** `now` is the database's time. */
export type Found = { readonly to: Startable; readonly now: Date };

export type Named = { readonly workspace: string; readonly name: string };

/** One after the other, by the limit: planned while there were few, a join would read all queues. */
const find = hot(
  "queue-finder.find",
  `select item.place::int, queue.id as "queueId", queue.starting, rotor.clock() as now
     from unnest($2::text[], $3::text[]) with ordinality as item (workspace, name, place)
    cross join lateral (
      select id, starting from rotor.queues
       where workspace_id = item.workspace and kind = $1 and name = item.name and system is null limit 1) queue`,
);

/** Answers undefined where there is none of this name. */
export const queueFinder = (db: Db, kind: "callback" | "function"): BatchWriter<Named, Found | undefined> =>
  batchWriter(
    async (asked) => {
      const rows = await db.query<{ place: number; queueId: number; starting: StartOptions; now: Date }>(find, [
        kind,
        asked.map(({ workspace }) => workspace),
        asked.map(({ name }) => name),
      ]);
      const found = new Map(rows.map((row) => [row.place, row]));
      return asked.map(({ workspace }, index) => {
        const row = found.get(index + 1);
        return row && { to: { queueId: row.queueId, workspace, starting: row.starting }, now: row.now };
      });
    },
    { size: limits.writeBatch, isEverybodys: isDisconnect },
  );
