/**
 * What apps say while they run a function: `docs/protocol.md`, section 5. No API key: each run comes with a capability
 * for one delivery. One run's trouble stays its own.
 */

import { z } from "@hono/zod-openapi";
import { type CheckpointReply, PROTOCOL_VERSION, type WireError } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { outputTooLarge } from "../core/report-limits.js";
import { type Capability, readToken } from "../core/token.js";
import { parseCheckpoint } from "../core/workflow-answer.js";
import { stepText } from "../core/workflow-body.js";
import { loadStepsBefore, type ReplyRoom } from "../store/history.js";
import { isBadData, isUnavailable } from "../store/outage.js";
import { parseJson, readBytes } from "./body.js";
import { type Api, openEndpoint } from "./endpoint.js";
import { invalid, type Log, Refusal } from "./errors.js";
import { json, seqCursor } from "./schemas.js";

type RunReply = CheckpointReply["runs"][number];

/** A report's output may be as deep as a payload; this is what stands around it. */
const WRAPPING = 8;

const requestShape = z
  .object({
    version: z.number(),
    runs: z.array(z.object({ token: z.string(), reports: z.array(z.record(z.string(), json)), known_seq: z.number() })),
  })
  .openapi("Checkpoint");
const replyShape = z
  .object({
    version: z.number(),
    runs: z.array(
      z.object({
        verdict: z.enum(["go", "yield", "cancelled", "stale", "retry", "invalid"]),
        steps: z.array(json),
        more: z.literal(true).optional(),
      }),
    ),
  })
  .openapi("CheckpointReply");
const stepsShape = z.object({ steps: z.array(json), more: z.string().nullable() });

/** A page is at most this many bytes of steps, or one step. */
const PAGE_BYTES = limits.deliveryBytes;

/** The request that a run's reports came in, and what that weighs. */
type Where = { readonly method: string; readonly path: string; readonly bytes: number };

const STALE: RunReply = { verdict: "stale", steps: [] };

const tag = "protocol";

/** Hangs the routes of the protocol. */
export function checkpoints(api: Api, log: Log): void {
  const { engine } = api;
  /** Tokens that were good: a run brings its own with every step. */
  const trusted = new Map<string, Capability>();
  const capabilityOf = (token: string): Capability | undefined => {
    const known = trusted.get(token);
    if (known !== undefined) return known;
    const capability = readToken(engine.tokenSecret, "checkpoint", token);
    if (capability === undefined) return undefined;
    if (trusted.size >= limits.inFlight) trusted.delete(trusted.keys().next().value!);
    trusted.set(token, capability);
    return capability;
  };

  const record = async (run: unknown, room: ReplyRoom, where: Where): Promise<RunReply> => {
    const token = (run as { token?: unknown } | null)?.token;
    const capability = typeof token === "string" ? capabilityOf(token) : undefined;
    if (capability === undefined) return STALE;
    const parsed = parseCheckpoint({ version: PROTOCOL_VERSION, runs: [run] });
    if (!parsed.ok) return refused({ name: "InvalidReportError", message: parsed.message.replace(/^runs\.0\.?/, "") });
    const { reports, known_seq: knownSeq } = parsed.value.runs[0]!;
    const tooLarge = outputTooLarge(reports, where.bytes);
    if (tooLarge !== undefined) return refused(tooLarge);
    try {
      return await engine.checkpoint({ reports, knownSeq, room, ...capability });
    } catch (error) {
      if (isBadData(error))
        return refused({
          name: "InvalidReportError",
          message: `The reports cannot be stored: ${(error as Error).message}`,
        });
      const { method, path } = where;
      log.error(
        { method, path, err: error },
        isUnavailable(error) ? "the database did not answer" : "a checkpoint failed",
      );
      return { verdict: "retry", steps: [] };
    }
  };

  openEndpoint(
    api,
    {
      method: "post",
      plain: true,
      path: "/v1/checkpoints",
      summary: "Record the reports of one or several runs, each with its delivery's token",
      tag,
      describedBody: { "application/json": requestShape },
      answers: {
        200: ["What became of each, in order.", replyShape],
        409: ["The same; all of them are stale.", replyShape],
      },
    },
    async ({ c }) => {
      const bytes = await readBytes(c, limits.checkpointBytes);
      // A step's output may hold any string: it is kept as JSON text, escapes and all.
      const body = parseJson(bytes, { depth: limits.jsonDepth + WRAPPING, anyStrings: true });
      const { version, runs } = (body?.value ?? {}) as { version?: unknown; runs?: unknown };
      if (version !== PROTOCOL_VERSION)
        throw invalid("version", `this server speaks version ${PROTOCOL_VERSION} of the protocol`);
      if (!Array.isArray(runs) || runs.length > limits.batch)
        throw invalid("runs", `write a list of at most ${limits.batch} runs`);
      const where = { method: c.req.method, path: c.req.path, bytes: bytes.byteLength };
      // A result that is larger than its run's share of the reply is told in one to that run alone.
      const room = { bytes: Math.floor(limits.replyBytes / Math.max(1, runs.length)), isAlone: runs.length === 1 };
      const replies = await Promise.all(runs.map((run: unknown) => record(run, room, where)));
      const allStale = replies.length > 0 && replies.every((reply) => reply.verdict === "stale");
      return c.json({ version: PROTOCOL_VERSION, runs: replies } satisfies CheckpointReply, allStale ? 409 : 200);
    },
  );

  openEndpoint(
    api,
    {
      method: "get",
      path: "/v1/checkpoints/steps",
      summary: "The finished steps that did not fit into a delivery, with its token as bearer",
      tag,
      query: z.object({ cursor: seqCursor }),
      answers: { 200: ["A page, the newest before the cursor first.", stepsShape] },
    },
    async ({ c, query: { cursor } }) => {
      const token = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
      const may = (purpose: "checkpoint" | "check") =>
        token === undefined ? undefined : readToken(engine.tokenSecret, purpose, token);
      const capability = may("checkpoint") ?? may("check");
      if (capability === undefined)
        throw new Refusal(401, "unauthorized", "Give the delivery's token: Authorization: Bearer <token>.");
      const page = await loadStepsBefore(engine.db, capability.jobId, Number(cursor), PAGE_BYTES);
      // As text, as it is stored: nothing of it is looked at here.
      const text = `{"steps":[${page.steps.map(stepText).join(",")}],"more":${JSON.stringify(page.more)}}`;
      return c.body(text, 200, { "content-type": "application/json" });
    },
  );
}

const refused = (error: WireError): RunReply => ({ verdict: "invalid", steps: [], error });
