/**
 * What is asked of many jobs or runs at once: which ones, and the steps in which it is done. What is done is the route's.
 */
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
  /** Jobs met. */
  met: z.number().int().min(0),
  before: instant,
});
type Progress = z.infer<typeof progress>;

/** Where what is asked of is found. Each names the job by which a cursor goes on. */
export type Source<Item> = {
  /** Of these ids, what there is. */
  readonly among: (ids: readonly string[], before: string) => Promise<readonly Item[]>;
  /** The next ones that the filter finds, the oldest first, and where to go on; undefined: there are no more. */
  readonly next: (
    before: string,
    cursor: string | undefined,
  ) => Promise<{ readonly items: readonly Item[]; readonly next: string | undefined }>;
};

/** What is asked, without the filter itself. */
export type Asked = {
  readonly ids?: readonly string[];
  /** Bounds that the caller gave; the earliest counts, and at the latest now. */
  readonly before: readonly (string | undefined)[];
  readonly cursor?: string;
};

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
 * take. `act` gets up to `together` items, the place of the first in the whole ask, and its bound; it answers how many it did.
 */
export async function carryOut<Item>(
  db: Db,
  asked: Asked,
  source: Source<Item>,
  act: (items: readonly Item[], place: number, before: string) => Promise<number>,
  together: number = TOGETHER,
): Promise<Carried> {
  const now = await failedUntil(db);
  const begunAt = performance.now();
  const earlier = asked.cursor === undefined ? undefined : readCursor(asked.cursor);
  const before =
    earlier?.before ?? [now.toISOString(), ...asked.before].filter((each) => each !== undefined).sort()[0]!;
  let met = earlier?.met ?? 0;
  let done = 0;
  const inSteps = async (items: readonly Item[]): Promise<void> => {
    for (let from = 0; from < items.length; from += together) {
      const step = items.slice(from, from + together);
      done += await act(step, met, before);
      met += step.length;
    }
  };
  if (asked.ids !== undefined) {
    await inSteps(await source.among(asked.ids, before));
    return { done, before, next: null };
  }
  let cursor: string | undefined = earlier?.id;
  do {
    const found = await source.next(before, cursor);
    await inSteps(found.items);
    cursor = found.next;
  } while (cursor !== undefined && performance.now() - begunAt < limits.bulkMs);
  const next =
    cursor === undefined
      ? null
      : Buffer.from(JSON.stringify({ id: cursor, met, before } satisfies Progress)).toString("base64url");
  return { done, before, next };
}

/** The failed jobs that an ask about dead letters means. */
export const failuresOf = (
  db: Db,
  workspace: string,
  body: Bulk,
  fixed: Pick<FailureFilter, "decided">,
): Source<Failure> => ({
  among: (ids, before) => failuresAmong(db, workspace, ids, before),
  next: async (before, cursor) => {
    const filter = { ...filterOf(body.filter ?? { queue: body.queue }), before, ...fixed };
    const look = { from: "oldest", cursor, look: limits.failuresLooked, limit: TOGETHER } as const;
    const { failures, next } = await findFailures(db, workspace, filter, look);
    return { items: failures, next };
  },
});

/** As `carryOut` wants it. */
export const askedOf = ({ ids, before, filter, cursor }: Bulk): Asked => ({
  ids,
  before: [before, filter?.before],
  cursor,
});
