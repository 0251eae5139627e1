/**
 * Jobs as people read them, for all who ask at the same time: runs that end in one commit have their callers told at once, and
 * each of them reads its own.
 */
import { limits } from "../core/limits.js";
import { type BatchWriter, batchWriter } from "./batch.js";
import type { Queryable } from "./db.js";
import { isDisconnect } from "./outage.js";
import { type JobView, readJobs } from "./views.js";

export type Wanted = { readonly workspace: string; readonly id: string };

/** Answers undefined for what is not of its workspace. A read sees all that was committed before it was asked for. */
export const readerOfJobs = (db: Queryable): BatchWriter<Wanted, JobView | undefined> =>
  batchWriter(
    async (wanted) => {
      const found = new Map<string, JobView>();
      for (const workspace of new Set(wanted.map((each) => each.workspace))) {
        const ids = wanted.filter((each) => each.workspace === workspace).map((each) => each.id);
        for (const job of await readJobs(db, workspace, [...new Set(ids)])) found.set(job.id, job);
      }
      return wanted.map(({ workspace, id }) => {
        const job = found.get(id);
        return job?.workspace === workspace ? job : undefined;
      });
    },
    { size: limits.readTogether, isEverybodys: isDisconnect },
  );
