/** What happens in a workspace, as it happens: server-sent events. A hint for whoever watches; what is missed is lost. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { type Api, endpoint } from "./endpoint.js";
import type { FeedEntry } from "./engine.js";
import { Refusal } from "./errors.js";
import { brief } from "./schemas.js";

/** Proxies cut connections that are silent for a minute; and this is how long one is told of after its key was revoked. */
const SIGN_OF_LIFE_MS = limits.keyTrustedMs;

/** Bytes that a slow reader may be behind; past this he is cut off, and comes back by himself. */
const BEHIND_BYTES = 1024 * 1024;

/** A piece of the stream in the making. */
type Piece = { add(entry: FeedEntry): void; text(): string };

/** How it is told, and how often: a busy server tells of thousands of things a second. */
type Manner = { readonly togetherMs: number; readonly begin: () => Piece };

const whole: Manner = {
  togetherMs: 50,
  begin() {
    let text = "";
    return {
      add({ workspace: _, ...told }) {
        text += `event: ${told.type}\ndata: ${JSON.stringify(told)}\n\n`;
      },
      text: () => text,
    };
  },
};

const briefly: Manner = {
  togetherMs: 250,
  begin() {
    const ids = new Set<string>();
    return {
      add(entry) {
        if (ids.size <= limits.briefIds) for (const id of idsOf(entry)) ids.add(id);
      },
      text() {
        const told = ids.size > limits.briefIds ? { ids: [], more: true } : { ids: [...ids], more: false };
        return `event: touched\ndata: ${JSON.stringify(told)}\n\n`;
      },
    };
  },
};

/** All that an entry is about, by id. */
function idsOf({ job, id, runs, resumed, cancelled }: FeedEntry): string[] {
  return [job, id, runs, resumed, cancelled].flat().filter((each) => typeof each === "string");
}

/** Answers a reader's way to leave. A reader must not throw. */
type Source = (reader: (piece: Uint8Array) => void) => () => void;

/** What happens in a workspace, told in one manner: made once, however many read it, and not at all while nobody does. */
function sourceOf(feed: Api["engine"]["feed"], workspace: string, { togetherMs, begin }: Manner): Source {
  const readers = new Set<(piece: Uint8Array) => void>();
  const encoder = new TextEncoder();
  let piece: Piece | undefined;
  let unsubscribe = (): void => undefined;
  const send = (): void => {
    const bytes = encoder.encode(piece!.text());
    piece = undefined;
    for (const reader of [...readers]) reader(bytes);
  };
  return (reader) => {
    if (readers.size === 0)
      unsubscribe = feed.subscribe((entry) => {
        if (entry.workspace !== workspace) return;
        if (piece === undefined) {
          piece = begin();
          setTimeout(send, togetherMs);
        }
        piece.add(entry);
      });
    readers.add(reader);
    return () => {
      if (readers.delete(reader) && readers.size === 0) unsubscribe();
    };
  };
}

/** Hangs the stream. */
export function stream(api: Api): void {
  const { engine } = api;
  /** As many as there are workspaces that were ever watched here. */
  const sources = new Map<string, Source>();
  const sourceFor = (workspace: string, isBrief: boolean): Source => {
    const name = `${isBrief ? "brief" : "whole"} ${workspace}`;
    const known = sources.get(name);
    if (known !== undefined) return known;
    const source = sourceOf(engine.feed, workspace, isBrief ? briefly : whole);
    sources.set(name, source);
    return source;
  };
  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/stream",
      summary: "Follow what happens, as server-sent events",
      tag: "stream",
      query: z.object({
        brief: brief.openapi({
          description: `Four times a second at most, one event \`touched\` tells the \`ids\` of all that something happened to; of over ${limits.briefIds} none, and \`more\` is true.`,
        }),
      }),
      answers: {
        200: [
          "text/event-stream; each event's data is `{ at, type, … }`, or of a brief stream `{ ids, more }`.",
          z.union([
            z.object({ at: z.string(), type: z.string() }),
            z.object({ ids: z.array(z.string()), more: z.boolean() }),
          ]),
        ],
      },
    },
    async ({ c, workspace, query }) => {
      // Whoever may not read any more is not told any more.
      const mayStill = () =>
        api.auth.authenticate(c, "read").then(
          () => true,
          (error: unknown) => !(error instanceof Refusal),
        );
      const body = follow(sourceFor(workspace, query.brief === true), c.req.raw.signal, mayStill);
      return c.body(body, 200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
    },
  );
}

const SIGN_OF_LIFE = new TextEncoder().encode(": \n\n");

function follow(source: Source, signal: AbortSignal, mayStill: () => Promise<boolean>): ReadableStream<Uint8Array> {
  let end = (): void => undefined;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let life: NodeJS.Timeout | undefined;
        let isOver = false;
        const write = (bytes: Uint8Array): void => {
          if ((controller.desiredSize ?? 0) > 0) controller.enqueue(bytes);
          else {
            end();
            controller.error(new Error("The reader is too slow."));
          }
        };
        const stayAlive = (): void => {
          life = setTimeout(lookAgain, SIGN_OF_LIFE_MS).unref();
          write(SIGN_OF_LIFE);
        };
        const lookAgain = async (): Promise<void> => {
          const goesOn = await mayStill();
          if (isOver) return;
          if (goesOn) stayAlive();
          else close();
        };
        const leave = source(write);
        const close = (): void => {
          end();
          controller.close();
        };
        end = () => {
          isOver = true;
          leave();
          clearTimeout(life);
          signal.removeEventListener("abort", close);
        };
        signal.addEventListener("abort", close, { once: true });
        stayAlive();
        // Who left before this began is told of nowhere else.
        if (signal.aborted) close();
      },
      cancel: () => end(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: BEHIND_BYTES }),
  );
}
