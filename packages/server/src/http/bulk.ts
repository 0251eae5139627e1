/** What is asked of many failed jobs at once: which ones, and the steps in which it is done. What is done is the route's. */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { type Failure, type FailureFilter, failedUntil, failuresAmong, findFailures } from "../store/dead-letters.js";
import { invalid } from "./errors.js";
import { filterText, instant, tag as tagText, time } from "./schemas.js";

/** A filter of failed jobs, in a query or a body. */
export const givenFilter = {
  queue: filterText.optional().openapi({ description: "Name of a queue or function." }),
  tag: tagText.optional(),
  after: instant.optional().openapi({ description: "Failed at or after this time." }),
  before: instant.optional().openapi({ description: "Failed before this time." }),
  error: filterText.optional().openapi({ description: "Part of the error's text, in upper or lower case." }),
};

export const filterOf = ({ queue, tag, after, before, error }: FailureFilter): FailureFilter => ({
  queue,
  tag,
  after,
  before,
  error,
});

/** Jobs that one transaction moves or removes. */
const TOGETHER = 500;

export const bulk = {
  ids: z.array(z.string().refine(isId, "it is not the id of a job")).min(1).max(1_000).optional(),
  queue: filterText.optional().openapi({ description: "All of one queue or function." }),
  filter: z.strictObject(givenFilter).optional(),
  before: instant.optional().openapi({
    description: "Only what failed before this time; default: now. Ask again with the `before` of the answer.",
  }),
  dry_run: z.boolean().optional().openapi({ description: "Only tell how many there are." }),
  cursor: z.string().max(400).optional().openapi({ description: "The `next_cursor` of the answer before." }),
};

type Bulk = {
  readonly ids?: readonly string[];
  readonly queue?: string;
  readonly filter?: FailureFilter;
  readonly before?: string;
  readonly cursor?: string;
};

export const oneSelection = (body: Bulk): boolean =>
  [body.ids, body.queue, body.filter].filter((each) => each !== undefined).length === 1;
export const SELECTION = "say which: write one of ids, queue and filter";

export const bulkAnswer = {
  before: time.openapi({ description: "What failed from then on was left alone." }),
  next_cursor: z
    .string()
    .nullable()
    .openapi({ description: "Not null: there are more. Ask the same with this as `cursor`." }),
};

/** How far an ask has come. */
const progress = z.object({
  /** The last job that was looked at. */
  id: z.string().refine(isId),
  /** Failures met. */
  met: z.number().int().min(0),
  before: instant,
});
type Progress = z.infer<typeof progress>;

function readCursor(text: string): Progress {
  try {
    return progress.parse(JSON.parse(Buffer.from(text, "base64url").toString()));
  } catch {
    // Whatever it is, it was not told by us.
    throw invalid("cursor", "it is not the next_cursor of an answer of this route");
  }
}

export type Carried = { readonly done: number; readonly before: string; readonly next: string | null };

/**
 * Does something to what is selected, the oldest first, in steps of one transaction each, for as long as a request may
 * take. `act` gets failures and the place of the first in the whole ask; it answers how many it did.
 */
export async function carryOut(
  db: Db,
  workspace: string,
  body: Bulk,
  fixed: Pick<FailureFilter, "decided">,
  act: (failures: readonly Failure[], place: number) => Promise<number>,
): Promise<Carried> {
  const now = await failedUntil(db);
  const begunAt = performance.now();
  const earlier = body.cursor === undefined ? undefined : readCursor(body.cursor);
  const before =
    earlier?.before ??
    [now.toISOString(), body.before, body.filter?.before].filter((each) => each !== undefined).sort()[0]!;
  let met = earlier?.met ?? 0;
  let done = 0;
  const inSteps = async (failures: readonly Failure[]): Promise<void> => {
    for (let from = 0; from < failures.length; from += TOGETHER) {
      const step = failures.slice(from, from + TOGETHER);
      done += await act(step, met);
      met += step.length;
    }
  };
  if (body.ids !== undefined) {
    await inSteps(await failuresAmong(db, workspace, body.ids, before));
    return { done, before, next: null };
  }
  const filter = { ...filterOf(body.filter ?? { queue: body.queue }), before, ...fixed };
  let cursor: string | undefined = earlier?.id;
  do {
    const found = await findFailures(db, workspace, filter, {
      from: "oldest",
      cursor,
      look: limits.failuresLooked,
      limit: TOGETHER,
    });
    await inSteps(found.failures);
    cursor = found.next;
  } while (cursor !== undefined && performance.now() - begunAt < limits.deadLettersMs);
  const next =
    cursor === undefined
      ? null
      : Buffer.from(JSON.stringify({ id: cursor, met, before } satisfies Progress)).toString("base64url");
  return { done, before, next };
}
