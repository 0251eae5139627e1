/** What happens in a workspace, as it happens: server-sent events. A hint for whoever watches; what is missed is lost. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { type Api, endpoint } from "./endpoint.js";
import type { FeedEntry } from "./engine.js";
import { Refusal } from "./errors.js";

/** Proxies cut connections that are silent for a minute; and this is how long one is told of after its key was revoked. */
const SIGN_OF_LIFE_MS = limits.keyTrustedMs;

/** Bytes that a slow reader may be behind; past this he is cut off, and comes back by himself. */
const BEHIND_BYTES = 1024 * 1024;

/** What happens within this time is sent in one piece: a busy server tells of thousands of things a second. */
const TOGETHER_MS = 50;

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
      // Whoever may not read any more is not told any more.
      const mayStill = () =>
        api.auth.authenticate(c, "read").then(
          () => true,
          (error: unknown) => !(error instanceof Refusal),
        );
      const body = follow(engine.feed, workspace, c.req.raw.signal, mayStill);
      return c.body(body, 200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
    },
  );
}

/** An entry as it is sent: made once, however many follow. */
const texts = new WeakMap<FeedEntry, string>();
function textOf(entry: FeedEntry): string {
  let text = texts.get(entry);
  if (text === undefined) {
    const { workspace: _, ...told } = entry;
    text = `event: ${entry.type}\ndata: ${JSON.stringify(told)}\n\n`;
    texts.set(entry, text);
  }
  return text;
}

function follow(
  feed: Api["engine"]["feed"],
  workspace: string,
  signal: AbortSignal,
  mayStill: () => Promise<boolean>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let end = (): void => undefined;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let life: NodeJS.Timeout | undefined;
        let gathering: NodeJS.Timeout | undefined;
        let gathered = "";
        let isOver = false;
        const write = (text: string): void => {
          if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(text));
          else {
            end();
            controller.error(new Error("The reader is too slow."));
          }
        };
        const send = (): void => {
          gathering = undefined;
          const text = gathered;
          gathered = "";
          write(text);
        };
        const stayAlive = (): void => {
          life = setTimeout(lookAgain, SIGN_OF_LIFE_MS).unref();
          write(": \n\n");
        };
        const lookAgain = async (): Promise<void> => {
          const goesOn = await mayStill();
          if (isOver) return;
          if (goesOn) stayAlive();
          else close();
        };
        const unsubscribe = feed.subscribe((entry: FeedEntry) => {
          if (entry.workspace !== workspace) return;
          gathered += textOf(entry);
          gathering ??= setTimeout(send, TOGETHER_MS);
        });
        const close = (): void => {
          end();
          controller.close();
        };
        end = () => {
          isOver = true;
          unsubscribe();
          clearTimeout(life);
          clearTimeout(gathering);
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
