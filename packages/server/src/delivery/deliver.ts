/**
 * One HTTP call, from a request to a value that says what is known of its fate. No retry, no redirect, no signature, no
 * store: what the value means for a job is decided in `core`.
 */

import type { Dispatcher } from "undici";
import { BoundedBody } from "./bounded-body.js";
import { ConnectFailure, type UnreachedReason } from "./connector.js";
import { callInProcess } from "./in-process.js";
import type { Entrant, Lane } from "./lane.js";
import type { Pools, Target } from "./pools.js";
import type { Stop } from "./stop.js";

export type { UnreachedReason } from "./connector.js";

export type HttpRequest = {
  readonly url: string;
  /** "POST" unless given. */
  readonly method?: "POST" | "GET" | "PUT";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
  /** For all of it: waiting for a connection, sending, the last byte of the answer. */
  readonly timeoutMs: number;
  /** Longest silence once it is sent; any byte of a head or body ends a silence. No limit unless given. */
  readonly idleTimeoutMs?: number | undefined;
  /** The answer's body is cut here, and the connection dropped. */
  readonly maxBodyBytes: number;
  readonly stop?: Stop | undefined;
  /** Connections are not shared between workspaces. */
  readonly workspace?: string | undefined;
};

type Fate =
  /** A whole answer, of any status, a redirect included. Header names are lower case, repeated ones joined by ", ". */
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      /** As it came: never decompressed. */
      readonly body: Uint8Array;
      readonly truncated: boolean;
    }
  /** Certain: nothing of the request was processed, since none of it was sent. */
  | { readonly kind: "unreached"; readonly reason: UnreachedReason; readonly message: string }
  /** The request may have been processed; no whole answer came. */
  | { readonly kind: "lost"; readonly message: string }
  /** Sent, perhaps processed, not answered within the limit. */
  | { readonly kind: "timed-out"; readonly limit: "total" | "idle" }
  /** Ended by `stop` or by closing the pools; it may have been processed. */
  | { readonly kind: "aborted" };

/** Where the time went, in milliseconds by a monotonic clock; a part that was not reached is left out. */
export type CallTiming = {
  /** Until there was a connection, the wait for a free one included. */
  readonly connectMs?: number;
  /** From the request's first byte to the answer's head. */
  readonly waitMs?: number;
  /** Of the answer's body. */
  readonly readMs?: number;
};

/** What is known of a call however it ended. */
type Known = {
  readonly timing: CallTiming;
  /** The head of the answer, whole or broken off, if it came so far. */
  readonly head: { readonly status: number; readonly headers: Readonly<Record<string, string>> } | undefined;
};

/** `durationMs` is by a monotonic clock, from the call to this value. */
export type DeliveryResult = Fate & Known & { readonly durationMs: number };

const nothingKnown: Known = { timing: {}, head: undefined };

/** Headers of an answer that are kept: its bytes are bounded, but an empty header has few. */
const keptHeaders = 100;

/** Interim answers (1xx) of one delivery. One every minute for half a day is a sign of life; more is a flood. */
const maxInterimAnswers = 1_000;

export type Deliver = (pools: Pools, request: HttpRequest) => Promise<DeliveryResult>;

/** Makes the call. Never rejects: whatever happens is a value, within `timeoutMs`. */
export function deliver(pools: Pools, request: HttpRequest): Promise<DeliveryResult> {
  const own = pools.closed ? undefined : pools.inProcess(request.url);
  if (own !== undefined) return callInProcess(own, request);
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const settle = (fate: Fate, known: Known = nothingKnown): void => resolve(resultOf(fate, known, startedAt));
    const target = pools.target(request.url);
    if (pools.closed || request.stop?.asked) settle({ kind: "aborted" });
    else if (!target.ok) settle({ kind: "unreached", reason: target.why, message: target.reason });
    else new Call(pools.lane(target.origin, request.workspace), target, request, settle).begin();
  });
}

/** The usual one member by member, as it is made for nearly each call: with spreads it takes V8 several times as long. */
function resultOf(fate: Fate, { timing, head }: Known, startedAt: number): DeliveryResult {
  const durationMs = performance.now() - startedAt;
  if (fate.kind !== "answered") return { ...fate, timing, head, durationMs };
  const { kind, status, headers, body, truncated } = fate;
  return { kind, status, headers, body, truncated, timing, head, durationMs };
}

type Headers = Record<string, string | string[] | undefined>;

/** Whether an answer's headers can be kept as they are, as nearly all can. */
function isPlain(headers: Headers): headers is Record<string, string> {
  let count = 0;
  for (const name of Object.keys(headers)) if (typeof headers[name] !== "string" || ++count > keptHeaders) return false;
  return true;
}

const plain = (headers: Headers): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers)
      .slice(0, keptHeaders)
      .map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : (value ?? "")]),
  );

/** A call under way. The methods named `on…` are undici's; after the end all of them do nothing. */
class Call implements Dispatcher.DispatchHandler, Entrant {
  place: Entrant["place"] = "outside";
  readonly #lane: Lane;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #request: HttpRequest;
  readonly #settle: (fate: Fate, known: Known) => void;
  readonly #body: BoundedBody;
  #ended = false;
  /** Present from the moment that the request is written. */
  #controller: Dispatcher.DispatchController | undefined;
  #dispatcher: Dispatcher | undefined;
  #redispatched = false;
  #interimAnswers = 0;
  #status = 0;
  #headers: Readonly<Record<string, string>> = {};
  #begunAt = 0;
  #sentAt = 0;
  #headAt = 0;
  #total: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(
    lane: Lane,
    target: Target & { ok: true },
    request: HttpRequest,
    settle: (fate: Fate, known: Known) => void,
  ) {
    this.#lane = lane;
    this.#request = request;
    this.#settle = settle;
    this.#body = new BoundedBody(request.maxBodyBytes);
    const method = request.method ?? "POST";
    this.#options = {
      path: target.path,
      method,
      headers: request.headers,
      body: method === "GET" ? null : request.body,
    };
  }

  begin(): void {
    this.#begunAt = performance.now();
    this.#total = setTimeout(() => this.#onTotalLimit(), this.#request.timeoutMs);
    this.#request.stop?.hear(this.abort);
    this.#lane.enter(this);
  }

  start(dispatcher: Dispatcher): void {
    this.#dispatcher = dispatcher;
    dispatcher.dispatch(this.#options, this);
  }

  readonly abort = (): void => this.#end({ kind: "aborted" });

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // A process that stood still goes on here, and only then with its timers: what it was about to send is another's by now.
    if (this.#request.stop?.asked) this.#end({ kind: "aborted" });
    // It ended while it waited for a connection. To throw takes it out of undici's queue unwritten and keeps the
    // connection; `controller.abort` would break one that others can use.
    if (this.#ended) throw new Error("the request ended before it was sent");
    this.#controller = controller;
    this.#sentAt = performance.now();
    const { idleTimeoutMs } = this.#request;
    if (idleTimeoutMs !== undefined) {
      this.#idle = setTimeout(() => this.#end({ kind: "timed-out", limit: "idle" }), idleTimeoutMs);
    }
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (this.#ended) return;
    this.#idle?.refresh();
    if (status < 200) {
      this.#interimAnswers += 1;
      if (this.#interimAnswers > maxInterimAnswers) {
        this.#end({ kind: "lost", message: `more than ${maxInterimAnswers} interim answers` });
      }
      return;
    }
    this.#status = status;
    this.#headAt = performance.now();
    this.#headers = isPlain(headers) ? headers : plain(headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return;
    this.#idle?.refresh();
    this.#body.append(chunk);
    if (this.#body.truncated) this.#answered();
  }

  onResponseEnd(): void {
    this.#answered();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#ended) return;
    if (this.#controller !== undefined) {
      const when = this.#status === 0 ? "before an answer" : `in the middle of an answer with status ${this.#status}`;
      this.#end({ kind: "lost", message: `the connection broke ${when}: ${error.message}` });
    } else if (error instanceof ConnectFailure) {
      this.#end({ kind: "unreached", reason: error.reason, message: error.message });
    } else if ("code" in error && error.code === "ECONNRESET" && !this.#redispatched) {
      this.#redispatch();
    } else {
      // What undici refuses to send, such as a header that a secret gave a line break.
      this.#end({ kind: "unreached", reason: "blocked", message: `the request cannot be sent: ${error.message}` });
    }
  }

  /** A kept connection was reset before this request was written to it: once more, on another. */
  #redispatch(): void {
    this.#redispatched = true;
    // Not from inside undici's handling of the broken connection, whose queue must be empty when it ends.
    setImmediate(() => {
      if (!this.#ended) this.#dispatcher?.dispatch(this.#options, this);
    });
  }

  #onTotalLimit(): void {
    if (this.#controller !== undefined) {
      this.#end({ kind: "timed-out", limit: "total" });
      return;
    }
    const what = this.place === "waiting" ? "no connection became free" : "no connection came about";
    const message = `${what} within the time limit of ${this.#request.timeoutMs} ms`;
    this.#end({ kind: "unreached", reason: "connect-timeout", message });
  }

  #answered(): void {
    const { bytes: body, truncated } = this.#body;
    this.#end({ kind: "answered", status: this.#status, headers: this.#headers, body, truncated });
  }

  #end(fate: Fate): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#total);
    clearTimeout(this.#idle);
    this.#request.stop?.hear(undefined);
    // Whatever has not come to its end is dropped with its connection; after a whole answer this does nothing.
    const complete = fate.kind === "answered" && !fate.truncated;
    if (!complete) this.#controller?.abort(new Error(fate.kind));
    this.#settle(fate, this.#known());
    this.#lane.leave(this);
  }

  #known(): Known {
    if (this.#controller === undefined) return nothingKnown;
    const connectMs = this.#sentAt - this.#begunAt;
    if (this.#status === 0) return { timing: { connectMs }, head: undefined };
    const timing = { connectMs, waitMs: this.#headAt - this.#sentAt, readMs: performance.now() - this.#headAt };
    return { timing, head: { status: this.#status, headers: this.#headers } };
  }
}
