/** Runs that callers wait for: read as soon as they have ended, or as they are when the wait is over. */
import type { ServerResponse } from "node:http";
import type { Context } from "hono";
import { isId } from "../core/ids.js";
import { FINISHED } from "../core/job.js";
import { readerOfJobs } from "../store/read-together.js";
import type { JobView } from "../store/views.js";
import type { Engine } from "./engine.js";
import { conflict, notFound } from "./errors.js";
import { duration } from "./schemas.js";

/** The server holds a request for a result this long at most; proxies cut longer ones. */
export const waitFor = duration({ maxMs: 60_000 });

export type Awaited = {
  /** The run, which may have ended long ago. @throws Refusal 404 */
  ofAny(c: Context, workspace: string, id: string, waitMs: number): Promise<JobView>;
  /** The same of a run that this request has just started: it is not looked at before it ends. */
  ofNew(c: Context, workspace: string, id: string, waitMs: number): Promise<JobView>;
};

/** Whether the caller has left. */
const isGone = (c: Context): boolean =>
  (c.env as { outgoing?: ServerResponse } | undefined)?.outgoing?.destroyed === true;

export function awaited(engine: Engine): Awaited {
  const reader = readerOfJobs(engine.db);
  const read = async (workspace: string, id: string): Promise<JobView> => {
    const run = isId(id) ? await reader.write({ workspace, id }) : undefined;
    if (run?.kind !== "function") throw notFound("run", id);
    return run;
  };
  const ended = async (c: Context, workspace: string, id: string, waitMs: number, isNew: boolean): Promise<JobView> => {
    await engine.finished(id, waitMs, { isGone: () => isGone(c), isNew });
    // Nobody hears it; and where the server has closed, there is nothing left to read from.
    if (isGone(c)) throw conflict("Whoever waited has left.");
    return read(workspace, id);
  };
  return {
    async ofAny(c, workspace, id, waitMs) {
      const run = await read(workspace, id);
      if (FINISHED.includes(run.state) || waitMs === 0) return run;
      return ended(c, workspace, run.id, waitMs, false);
    },
    ofNew: (c, workspace, id, waitMs) => ended(c, workspace, id, waitMs, true),
  };
}
