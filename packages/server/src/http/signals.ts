/** Signals over HTTP: somebody completes what a run waits for, or makes a link by which somebody else does. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { makeSignalLink } from "../core/signal-link.js";
import { readClockMs } from "../store/signal-links.js";
import { completeSignal } from "../store/signals.js";
import { rawMember } from "./body.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, invalid, Refusal, shown } from "./errors.js";
import { duration, json, time } from "./schemas.js";

const params = z.object({ id: z.string() }).openapi({ description: "A slash in it is written %2F." });
const tag = "signals";
const kept = duration({ minMs: 1, maxMs: limits.signalKeptMs });

const notTooLong = (id: string): void => {
  if (id.length > limits.signalLength)
    throw invalid("id", `a signal's id has at most ${limits.signalLength} characters; this one has ${id.length}`);
};

/** Hangs the routes of signals. */
export function signals(api: Api): void {
  const { engine } = api;
  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/signals/{id}/complete",
      summary: "Give data to the run that waits for this signal, or keep it for one that will",
      tag,
      params,
      body: z.strictObject({
        data: json.optional(),
        buffer_for: kept.optional().openapi({
          description: "Where nobody waits for it yet, it is kept this long for whoever does. Default: 404.",
        }),
      }),
      answers: {
        200: [
          "The run goes on; or it is kept.",
          z.union([z.object({ run_id: z.string() }), z.object({ buffered: z.literal(true), until: time })]),
        ],
      },
    },
    async ({ c, workspace, params: { id }, body: { buffer_for: bufferForMs }, text }) => {
      if (bufferForMs !== undefined) notTooLong(id);
      const done = await completeSignal(engine.db, workspace, id, rawMember(text, "data") ?? "null", bufferForMs);
      switch (done.kind) {
        case "resumed":
          engine.wake();
          return c.json({ run_id: done.runId });
        case "buffered":
          return c.json({ buffered: true as const, until: done.until.toISOString() });
        case "kept already":
          throw conflict(`The signal ${shown(id)} was completed before, and is kept for whoever will wait for it.`);
        case "nobody":
          throw new Refusal(
            404,
            "not_found",
            `No run waits for the signal ${shown(id)}: it was completed, its time is over, or the wait has not begun yet. With buffer_for it is kept for the wait to come.`,
          );
      }
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/signals/{id}/links",
      summary: "Make a link whose page completes this signal, for a mail or a button",
      tag,
      params,
      body: z.strictObject({
        expires: kept.openapi({ description: 'How long the link is good, such as "7d".' }),
        data: json.optional().openapi({ description: "What the signal is given. Default: null." }),
      }),
      answers: {
        200: ["Who has the link may complete the signal, once.", z.object({ url: z.string(), expires_at: time })],
      },
    },
    async ({ c, workspace, params: { id }, body: { expires }, text }) => {
      notTooLong(id);
      const data = rawMember(text, "data") ?? "null";
      if (data.length > limits.linkDataLength)
        throw invalid(
          "data",
          `it has ${data.length} characters; a link has room for ${limits.linkDataLength}. Give it a reference instead.`,
        );
      const madeAtMs = await readClockMs(engine.db);
      const expiresAtMs = madeAtMs + expires;
      const token = makeSignalLink(engine.tokenSecret, { workspace, signal: id, data, madeAtMs, expiresAtMs });
      return c.json({
        url: `${engine.config.publicUrl}/links/${token}`,
        expires_at: new Date(expiresAtMs).toISOString(),
      });
    },
  );
}
