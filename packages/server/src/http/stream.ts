/** What happens in a workspace, as it happens: server-sent events. A hint for whoever watches; what is missed is lost. */
import { z } from "@hono/zod-openapi";
import { type Api, endpoint } from "./endpoint.js";
import type { FeedEntry } from "./engine.js";

/** Proxies cut connections that are silent for a minute. */
const SIGN_OF_LIFE_MS = 15_000;

/** Entries that a slow reader may be behind; past this he is cut off, and comes back by himself. */
const BEHIND = 1_000;

/** Hangs the stream. */
export function stream(api: Api): void {
  const { engine } = api;
  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/stream",
      summary: "Follow what happens, as server-sent events",
      tag: "stream",
      answers: {
        200: [
          "text/event-stream; each event's data is `{ at, type, … }`.",
          z.object({ at: z.string(), type: z.string() }),
        ],
      },
    },
    async ({ c, workspace }) => {
      const body = follow(engine.feed, workspace, c.req.raw.signal);
      return c.body(body, 200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
    },
  );
}

function follow(feed: Api["engine"]["feed"], workspace: string, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let end = (): void => undefined;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let timer: NodeJS.Timeout;
        const write = (text: string): void => {
          if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(text));
          else {
            end();
            controller.error(new Error("The reader is too slow."));
          }
        };
        const stayAlive = (): void => {
          timer = setTimeout(stayAlive, SIGN_OF_LIFE_MS).unref();
          write(": \n\n");
        };
        const unsubscribe = feed.subscribe((entry: FeedEntry) => {
          if (entry.workspace !== workspace) return;
          const { workspace: _, ...told } = entry;
          write(`event: ${entry.type}\ndata: ${JSON.stringify(told)}\n\n`);
        });
        const close = (): void => {
          end();
          controller.close();
        };
        end = () => {
          unsubscribe();
          clearTimeout(timer);
          signal.removeEventListener("abort", close);
        };
        signal.addEventListener("abort", close, { once: true });
        stayAlive();
        // Who left before this began is told of nowhere else.
        if (signal.aborted) close();
      },
      cancel: () => end(),
    },
    new CountQueuingStrategy({ highWaterMark: BEHIND }),
  );
}
