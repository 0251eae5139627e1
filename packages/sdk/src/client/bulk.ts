/** Asks about many jobs or runs, which the server answers in parts: each request works for some seconds, and tells where to go on. */

import type { Call, CallInput, CallOptions } from "./call.js";

export type BulkOptions = CallOptions & {
  /** Called after each part but the last, some seconds' work each, with how many it is so far. */
  readonly onProgress?: (soFar: number) => void;
};

/** What every ask may say. */
export type BulkAsk = { readonly before?: Date | string };

export type BulkAnswer = { readonly before: string; readonly nextCursor: string | null };

/** Each request of a bulk ask works for some seconds, and answers then. */
const BULK_TIMEOUT_MS = 60_000;

export const instant = (time: Date | string | undefined): string | undefined =>
  time instanceof Date ? time.toISOString() : time;

/** Asks until all is done. Once `before` is known, an ask whose answer is lost can be asked again. */
export async function* answersOf<Answer extends BulkAnswer>(
  call: Call,
  method: string,
  path: string,
  body: BulkAsk,
  { onProgress: _, ...options }: BulkOptions = {},
): AsyncGenerator<Answer> {
  let cursor: string | undefined;
  let { before } = body;
  do {
    const input: CallInput = {
      ...options,
      body: { ...body, before, cursor },
      repeatable: method === "DELETE" || before !== undefined,
      timeoutMs: BULK_TIMEOUT_MS,
    };
    const answer = (await call(method, path, input)) as Answer;
    yield answer;
    cursor = answer.nextCursor ?? undefined;
    before = answer.before;
  } while (cursor !== undefined);
}

/** More ids than this are not told, only counted. */
const IDS_TOLD = 1_000;

/** Adds the parts up. `countOf` says how many a part did. */
export async function allOf<Answer extends BulkAnswer & { readonly ids?: readonly string[] }>(
  parts: AsyncGenerator<Answer>,
  countOf: (part: Answer) => number,
  { onProgress }: BulkOptions = {},
): Promise<{ count: number; ids?: readonly string[]; before: string }> {
  let count = 0;
  let ids: readonly string[] | undefined = [];
  let before = "";
  for await (const part of parts) {
    count += countOf(part);
    ids = ids && part.ids && ids.length + part.ids.length <= IDS_TOLD ? [...ids, ...part.ids] : undefined;
    before = part.before;
    if (part.nextCursor !== null) onProgress?.(count);
  }
  return { count, ...(ids !== undefined && { ids }), before };
}
