/** What a delivery asks of its server besides the answer: checkpoints, and the steps that did not fit into its body. */

import { send as sendOverHttp } from "#transport";
import { readVariable } from "./environment.js";
import type { CheckpointReply, StepsPage, WireError, WireStep } from "./protocol.js";
import type { Send } from "./transport.js";

/**
 * `refused`: the server is there but did not take it (5xx, 429). `rejected`: nor will it ever (400, 413, 422), and says why.
 * `unreachable`: no answer, or not one of Rotor's.
 */
export type CheckpointResult =
  | { readonly kind: "reply"; readonly reply: CheckpointReply }
  | { readonly kind: "refused" }
  | { readonly kind: "rejected"; readonly error: WireError }
  | { readonly kind: "unreachable" };

export type CheckpointPost = (url: string, body: string) => Promise<CheckpointResult>;

export type FetchSteps = (checkpointUrl: string, token: string, more: string | null) => Promise<WireStep[]>;

const TIMEOUT_MS = 15_000;

const UNREACHABLE: CheckpointResult = { kind: "unreachable" };

function replyOf(text: string): CheckpointResult {
  try {
    const reply = JSON.parse(text) as CheckpointReply;
    return Array.isArray(reply.runs) ? { kind: "reply", reply } : UNREACHABLE;
  } catch {
    // A proxy's page. The server itself always answers with JSON.
    return UNREACHABLE;
  }
}

function rejectionOf(text: string): CheckpointResult {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: unknown; message?: unknown } };
    if (typeof error?.code !== "string" || typeof error.message !== "string") return UNREACHABLE;
    return { kind: "rejected", error: { name: "InvalidReportError", message: error.message } };
  } catch {
    // A proxy's page.
    return UNREACHABLE;
  }
}

/** One POST of a checkpoint. Never throws: no answer is an answer too. */
export const checkpointsOver =
  (send: Send): CheckpointPost =>
  async (url, body) => {
    try {
      const { status, text } = await send(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        timeoutMs: TIMEOUT_MS,
        // A report that arrives twice is recorded once.
        repeatable: true,
        apart: true,
      });
      if (status === 200 || status === 409) return replyOf(text);
      if (status === 400 || status === 413 || status === 422) return rejectionOf(text);
      return status >= 500 || status === 429 ? { kind: "refused" } : UNREACHABLE;
    } catch {
      // Refused, lost or timed out: all the same to a run, which then answers with what it has.
      return UNREACHABLE;
    }
  };

export const postCheckpoint: CheckpointPost = checkpointsOver(sendOverHttp);

/** The checkpoint URL as this app reaches it: where `ROTOR_BASE_URL` is set, that address wins over the server's own view. */
export function reachableUrl(url: string, env: unknown): string {
  const base = readVariable("ROTOR_BASE_URL", env);
  if (base === undefined) return url;
  const { pathname } = new URL(url);
  return base.replace(/\/+$/, "") + pathname;
}

/**
 * The rest of a run's steps, from a delivery's cursor on.
 * @throws Error when the server does not give them: then the delivery cannot be replayed.
 */
export const stepsOver =
  (send: Send): FetchSteps =>
  async (checkpointUrl, token, more) => {
    const steps: WireStep[] = [];
    for (let cursor = more; cursor !== null; ) {
      const url = `${checkpointUrl}/steps?cursor=${encodeURIComponent(cursor)}`;
      const headers = { authorization: `Bearer ${token}` };
      const { status, text } = await send(url, {
        method: "GET",
        headers,
        timeoutMs: TIMEOUT_MS,
        repeatable: true,
        apart: true,
      });
      if (status !== 200) throw new Error(`The steps of the run could not be read: ${url} answered ${status}`);
      const page = JSON.parse(text) as StepsPage;
      steps.push(...page.steps);
      cursor = page.more;
    }
    return steps;
  };

export const fetchSteps: FetchSteps = stepsOver(sendOverHttp);
