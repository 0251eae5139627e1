/** Which jobs have not ended: one look for all who wait for an end at the same time, however many they are. */
import { limits } from "../core/limits.js";
import { type BatchWriter, batchWriter } from "./batch.js";
import { type Db, hot } from "./db.js";
import { isDisconnect } from "./outage.js";

const look = hot("unfinished.look", "select id from rotor.jobs where id = any($1::uuid[]) and due_at is not null");

/** Answers true for a job that is there and has not ended. */
export const unfinishedReader = (db: Db): BatchWriter<string, boolean> =>
  batchWriter(
    async (ids) => {
      const open = new Set((await db.query<{ id: string }>(look, [[...ids]])).map((row) => row.id));
      return ids.map((id) => open.has(id));
    },
    { size: limits.writeBatch, isEverybodys: isDisconnect },
  );
