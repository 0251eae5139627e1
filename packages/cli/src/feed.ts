/** Follows the live feed of a server, over lost connections. How an entry is printed is in `feed-lines.ts`. */

import { setTimeout as pause } from "node:timers/promises";
import { RotorApiError } from "@rotorsh/sdk";
import type { FeedEntry } from "./feed-lines.js";
import { readStream } from "./stream.js";

export { type FeedEntry, type FeedLineOptions, feedLine } from "./feed-lines.js";

export type FollowOptions = {
  readonly baseUrl: string;
  readonly apiKey?: string;
  /** Ends following; the promise then resolves. */
  readonly signal: AbortSignal;
  readonly onEntry: (entry: FeedEntry) => void;
  /** The feed is followed from now on: at first, and after each loss. */
  readonly onOpen?: () => void;
  /** The connection was lost, or not made, and is tried again. What happens until then is not told. */
  readonly onLost?: (error: unknown) => void;
  /** Between two tries (default 1 s). */
  readonly retryMs?: number;
};

/** Long enough to hammer nobody, short enough to miss little. */
const RETRY_MS = 1_000;

/** An answer that trying again will not change, such as that of a wrong key. */
const isFinal = (error: unknown): error is RotorApiError =>
  error instanceof RotorApiError && error.status >= 400 && error.status < 500 && error.status !== 429;

function entryOf(data: string): FeedEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    // Not an entry: a newer server may send other things, and one line that is not shown harms nobody.
    return undefined;
  }
  const entry = value as Partial<FeedEntry> | null;
  return typeof entry?.type === "string" && typeof entry.at === "string" ? (entry as FeedEntry) : undefined;
}

/**
 * Tells every entry of the server's feed, as it happens, until the signal.
 * @throws RotorApiError when the server refuses (4xx).
 */
export async function followFeed({
  onEntry,
  onOpen,
  onLost,
  retryMs = RETRY_MS,
  ...options
}: FollowOptions): Promise<void> {
  const url = `${options.baseUrl.replace(/\/+$/, "")}/v1/stream`;
  const { apiKey, signal } = options;
  while (!signal.aborted) {
    try {
      for await (const data of readStream({ url, apiKey, signal, onOpen })) {
        const entry = entryOf(data);
        if (entry !== undefined) onEntry(entry);
      }
      if (!signal.aborted) onLost?.(new Error("the server ended the stream"));
    } catch (error) {
      if (isFinal(error)) throw error;
      onLost?.(error);
    }
    // Rejects when the signal comes in between, which ends the loop.
    await pause(retryMs, undefined, { signal }).catch(() => undefined);
  }
}
