/**
 * Builds what is sent: headers and signatures of deliveries. Whom it goes to, and how it ends, is `deliver.ts`'s
 * business; what a body says is decided before.
 */

import { createHmac } from "node:crypto";
import { headers as names } from "@rotorsh/sdk/protocol";
import { signRotor, signRotorWebhook } from "@rotorsh/sdk/signature";
import { isTraceparent, newTraceparent, spanOf } from "../core/trace.js";
import { isForbiddenHeader } from "./headers.js";

/** What `deliver` needs beside a URL and limits. */
export type SignedRequest<Body> = { readonly headers: Record<string, string>; readonly body: Body };

export type CallbackRequest = {
  readonly jobId: string;
  readonly queue: string;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** When the job was first due, RFC 3339. */
  readonly scheduledAt: string;
  /** The payload, byte for byte. */
  readonly body: Uint8Array;
  /** Of the payload; without one the queue's own header, or JSON. */
  readonly contentType?: string | undefined;
  /** The queue's own, templates filled in. Those that only Rotor may set are left out, whoever stored them. */
  readonly queueHeaders: Readonly<Record<string, string>>;
  /** A capability to complete, fail or heartbeat this attempt. */
  readonly completeUrl: string;
  /** Every secret that is active, so that a rotation rejects nothing. */
  readonly secrets: readonly string[];
  /** Unix seconds by the database's clock. */
  readonly nowSeconds: number;
  /** Whether to sign as standardwebhooks.com says, too. */
  readonly standardWebhooks?: boolean;
  /** Of whoever enqueued it, passed on as it is; where there is none, or it is none, one is made. */
  readonly traceparent?: string | undefined;
};

/** The delivery of a callback job. Throws an error of the SDK if there is no secret. */
export function callbackRequest(request: CallbackRequest): SignedRequest<Uint8Array> {
  const { body, secrets, nowSeconds, jobId } = request;
  const headers = withOwn(request.queueHeaders);
  headers["content-type"] = request.contentType ?? headers["content-type"] ?? "application/json";
  headers[names.signature] = signRotor(body, secrets, nowSeconds);
  headers[names.jobId] = jobId;
  headers[names.queue] = request.queue;
  headers[names.attempt] = String(request.attempt);
  headers[names.maxAttempts] = String(request.maxAttempts);
  headers[names.scheduledAt] = request.scheduledAt;
  headers[names.completeUrl] = request.completeUrl;
  headers.traceparent = isTraceparent(request.traceparent) ? request.traceparent : newTraceparent(jobId);
  if (request.standardWebhooks) Object.assign(headers, standardWebhookHeaders(jobId, body, secrets, nowSeconds));
  return { headers, body };
}

export type WorkflowRequest = {
  /** A `DeliveryRequest` of the protocol, as JSON. */
  readonly body: string;
  readonly secrets: readonly string[];
  /** Unix seconds by the database's clock. */
  readonly nowSeconds: number;
  /** The run's id: deliveries of a run then share a trace. */
  readonly run?: string;
  /** Of whoever started the run: each delivery is a span of that trace. */
  readonly traceparent?: string | undefined;
};

/** The delivery of a run: `docs/protocol.md`, section 3. Throws an error of the SDK if there is no secret. */
export function workflowRequest(request: WorkflowRequest): SignedRequest<string> {
  const { body, secrets, nowSeconds, run, traceparent } = request;
  const headers = {
    "user-agent": userAgent,
    "content-type": "application/json",
    [names.signature]: signRotor(body, secrets, nowSeconds),
    traceparent: spanOf(traceparent, run),
  };
  return { headers, body };
}

export type WebhookRequest = Pick<CallbackRequest, "jobId" | "body" | "queueHeaders" | "secrets" | "nowSeconds">;

/** The delivery of a lifecycle event to a webhook. Throws an error of the SDK if there is no secret. */
export function webhookRequest(request: WebhookRequest): SignedRequest<Uint8Array> {
  const { body, secrets, nowSeconds, jobId } = request;
  const headers = withOwn(request.queueHeaders);
  headers["content-type"] = "application/json";
  headers["rotor-webhook-id"] = jobId;
  headers["rotor-webhook-timestamp"] = String(nowSeconds);
  headers["rotor-webhook-signature"] = signRotorWebhook(jobId, body, secrets, nowSeconds);
  headers.traceparent = newTraceparent(jobId);
  return { headers, body };
}

/** What every delivery begins with, and a queue's own headers, but for those that only Rotor may set, whoever stored them. */
function withOwn(queueHeaders: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(queueHeaders);
  if (own.length === 0) return { "user-agent": userAgent };
  const allowed = own
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !isForbiddenHeader(name));
  return { "user-agent": userAgent, ...Object.fromEntries(allowed) };
}

const userAgent = "Rotor";

/**
 * The three headers of Standard Webhooks 1.0. There the key is the decoded part after `whsec_`, unlike in Rotor's own
 * signature, and signatures of several secrets are separated by spaces.
 */
function standardWebhookHeaders(id: string, body: Uint8Array, secrets: readonly string[], nowSeconds: number) {
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    return `v1,${createHmac("sha256", key).update(`${id}.${nowSeconds}.`).update(body).digest("base64")}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(nowSeconds),
    "webhook-signature": signatures.join(" "),
  };
}
