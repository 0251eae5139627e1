/** Functions as their starts need them, found by name: one look for all who ask at the same time. */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { type BatchWriter, batchWriter } from "./batch.js";
import { type Db, hot } from "./db.js";
import { isDisconnect } from "./outage.js";
import type { Startable } from "./start-plan.js";

/** `now` is the database's time. */
export type Found = { readonly to: Startable; readonly now: Date };

type Asked = { readonly workspace: string; readonly name: string };

const find = hot(
  "functions.find",
  `select item.place::int, queue.id as "queueId", queue.starting, rotor.clock() as now
     from unnest($1::text[], $2::text[]) with ordinality as item (workspace, name, place)
     join rotor.queues queue on queue.workspace_id = item.workspace and queue.kind = 'function' and queue.name = item.name and queue.system is null`,
);

/** Answers undefined for a function that there is not. */
export const functionFinder = (db: Db): BatchWriter<Asked, Found | undefined> =>
  batchWriter(
    async (asked) => {
      const rows = await db.query<{ place: number; queueId: number; starting: StartOptions; now: Date }>(find, [
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
