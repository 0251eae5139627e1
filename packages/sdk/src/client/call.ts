/**
 * One call of the HTTP API: address, key, JSON, tries, errors. Which routes there are is told in the files beside it.
 */

import { send } from "#transport";
import { currentTraceparent } from "../context.js";
import { readVariable } from "../environment.js";
import { RotorApiError, RotorConnectionError, RotorInputError } from "../errors.js";
import { pause } from "../pause.js";
import { sendWithFetch } from "../transport.fetch.js";
import type { Send, TransportResponse } from "../transport.js";
import { toCamelCase, toSnakeCase } from "./case.js";

export type RotorOptions = {
  /** `rt_ws_…` (default: `ROTOR_API_KEY`). Not needed against `rotor dev` on the same machine. */
  readonly apiKey?: string;
  /** Address of the server (default: `ROTOR_BASE_URL`, else `http://127.0.0.1:7686`). */
  readonly baseUrl?: string;
  /** Used for every request in place of the runtime's own HTTP. */
  readonly fetch?: typeof fetch;
};

/** What each call of the client takes. */
export type CallOptions = {
  /** Ends the call; its promise rejects with the signal's reason. What was sent may have been carried out. */
  readonly signal?: AbortSignal;
};

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export type CallInput = CallOptions & {
  readonly query?: Query;
  /** Keys are turned to snake_case, but for those of user data. */
  readonly body?: unknown;
  /** Harmless when carried out twice, so it is tried again. GET, PUT and DELETE always are. */
  readonly repeatable?: boolean;
  readonly timeoutMs?: number;
  /** The server holds the request for long: see `TransportRequest`. */
  readonly apart?: boolean;
};

/** Carries out one call and gives its answer in camelCase; undefined for an empty one. */
export type Call = (method: string, path: string, input?: CallInput) => Promise<unknown>;

const DEFAULT_BASE_URL = "http://127.0.0.1:7686";
const DEFAULT_TIMEOUT_MS = 30_000;

/** Tries in all. Pauses between them are random, around 100 and 300 ms: long enough for a proxy to find another node. */
const MAX_TRIES = 3;
const pauseMs = (tries: number): number => 100 * 3 ** (tries - 1) * (0.5 + Math.random());

/** Answers of something before the server, or of a server that is going down: nothing is known of the request. */
const PASSING = new Set([502, 503, 504]);

/**
 * A name as one segment of a path.
 * @throws RotorInputError for "" and for "." and "..", which an address would swallow.
 */
export function segment(name: string): string {
  if (typeof name !== "string" || name === "" || name === "." || name === "..") {
    throw new RotorInputError(`${JSON.stringify(name)} cannot be a name or an id`);
  }
  return encodeURIComponent(name);
}

function parse(text: string): { ok: true; value: unknown } | { ok: false } {
  try {
    return { ok: true, value: text === "" ? undefined : JSON.parse(text) };
  } catch {
    // The caller says what came instead.
    return { ok: false };
  }
}

function apiError(response: TransportResponse, call: string): RotorApiError {
  const { status, text } = response;
  const parsed = parse(text);
  const body = parsed.ok
    ? (parsed.value as { error?: { code?: unknown; message?: unknown; details?: unknown } } | null)
    : null;
  const error = body?.error;
  if (typeof error?.message === "string") {
    const code = typeof error.code === "string" ? error.code : `http_${status}`;
    return new RotorApiError(error.message, { status, code, details: error.details });
  }
  const shown = text.trim().slice(0, 200) || "an empty body";
  return new RotorApiError(`${call} was answered with ${status} by something that is not Rotor's API: ${shown}`, {
    status,
    code: `http_${status}`,
  });
}

function answerOf(response: TransportResponse, call: string): unknown {
  if (response.status < 200 || response.status > 299) throw apiError(response, call);
  const parsed = parse(response.text);
  if (!parsed.ok) throw apiError(response, call);
  return toCamelCase(parsed.value);
}

function addressOf(baseUrl: string, path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return `${baseUrl.replace(/\/+$/, "")}${path}${search.size > 0 ? `?${search}` : ""}`;
}

/** The caller for one client. The environment is read at each call, so a key that is set late is found. */
export function createCall(options: RotorOptions): Call {
  const { fetch } = options;
  const sender: Send = fetch ? (url, request) => sendWithFetch(fetch, url, request) : send;

  return async (method, path, input = {}) => {
    const baseUrl = options.baseUrl ?? readVariable("ROTOR_BASE_URL") ?? DEFAULT_BASE_URL;
    const apiKey = options.apiKey ?? readVariable("ROTOR_API_KEY");
    const url = addressOf(baseUrl, path, input.query);
    const repeatable = input.repeatable ?? method !== "POST";
    const traceparent = currentTraceparent();
    const request = {
      method,
      headers: {
        accept: "application/json",
        ...(apiKey && { authorization: `Bearer ${apiKey.trim()}` }),
        ...(traceparent !== undefined && { traceparent }),
        ...(input.body !== undefined && { "content-type": "application/json" }),
      },
      ...(input.body !== undefined && { body: JSON.stringify(toSnakeCase(input.body)) }),
      signal: input.signal,
      timeoutMs: input.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      repeatable,
      apart: input.apart,
    };
    /** Of the first try that may have been carried out: the last one's error says nothing of it. */
    let lost: RotorConnectionError | undefined;
    for (let tries = 1; ; tries++) {
      try {
        const response = await sender(url, request);
        // The try before this one deleted it, though its answer was lost.
        if (method === "DELETE" && tries > 1 && response.status === 404) return undefined;
        if (!repeatable || tries === MAX_TRIES || !PASSING.has(response.status)) {
          return answerOf(response, `${method} ${path}`);
        }
      } catch (error) {
        if (!(error instanceof RotorConnectionError)) throw error;
        if (error.reason !== "unreachable") lost ??= error;
        if ((lost !== undefined && !repeatable) || tries === MAX_TRIES) throw lost ?? error;
      }
      await pause(pauseMs(tries), input.signal);
    }
  };
}
