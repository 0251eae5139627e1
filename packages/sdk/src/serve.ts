/** `workflowHandler`: the fetch-style handler through which a server reads, registers and runs an app's functions. */

import { sha256Hex } from "#hmac";
import { send } from "#transport";
import {
  FETCH_REMEDY,
  PLAIN,
  type PlainAnswer,
  type PlainCall,
  type PlainHandler,
  rawBodyMissing,
} from "./adapters/fetch.js";
import { createAdviser } from "./advice.js";
import type { AnswerTiming } from "./answer.js";
import { ANSWER_TIMING, answerInTime, refusal, refused, responseOf, signed } from "./answer.js";
import { check } from "./check.js";
import { type FetchSteps, fetchSteps, reachableUrl } from "./checkpoint.js";
import type { Duration } from "./duration.js";
import { parseDuration } from "./duration.js";
import type { AnswerBody } from "./end.js";
import { readVariable } from "./environment.js";
import { RotorInputError } from "./errors.js";
import type { RotorFunction } from "./function.js";
import { manifestOf } from "./function.js";
import { withFailures } from "./function-failure.js";
import { createDeliveries } from "./in-hand.js";
import { type Lane, laneTo } from "./lane.js";
import type { Answer, DeliveryRequest, FunctionManifest, Manifest } from "./protocol.js";
import { answerContext, DEVELOPMENT_SIGNING_KEY, headers, manifestContext, PROTOCOL_VERSION } from "./protocol.js";
import { replay } from "./replay.js";
import { MAX_BODY_BYTES, readBody } from "./request-body.js";
import { signAnswer, verifyRotorSignature } from "./signature.js";

export type WorkflowOptions = {
  readonly functions: readonly RotorFunction[];
  /** The workspace's signing key, old and new while it is rotated (default: `ROTOR_SIGNING_KEY`). Read at each request. */
  readonly signingKey?: string | readonly string[] | ((env: unknown) => string | readonly string[] | undefined);
  /** Tells apps of one workspace apart (default "default"). */
  readonly app?: string;
  /** How long the platform lets a request take: no new step starts in its last 20 %, or 5 s where that is more. */
  readonly maxDuration?: Duration;
  /** False where the platform cannot stream: then a delivery must be answered within 30 s (default true). */
  readonly streaming?: boolean;
  /** Uses the development key, as `rotor dev` does (default: `ROTOR_DEV=1`). Refused under `NODE_ENV=production`. */
  readonly dev?: boolean;
};

export type WorkflowHandler = {
  /** @param env what the platform hands over beside the request (Workers' bindings). */
  (request: Request, env?: unknown): Promise<Response>;
  /** Starts no further step, lets what runs end, and resolves when every delivery is answered. New ones get a 503. */
  readonly drain: () => Promise<void>;
  /** @internal The same for a POST on Node. */
  readonly [PLAIN]: PlainHandler;
};

const SDK = "rotor-js/0.1.0";
const SYNC_TIMEOUT_MS = 30_000;
const UNTOUCHED = JSON.stringify({ error: { code: "draining", message: "This app is shutting down" } });
const DEFAULT_BASE_URL = "http://127.0.0.1:7686";

/** What a delivery's request brings beside its body. */
type Around = { readonly env: unknown; readonly traceparent: string | undefined };

type Keys = { readonly dev: boolean; readonly secrets: readonly string[] };

class SetupError extends RotorInputError {
  readonly setup: string;
  constructor(setup: string, message: string) {
    super(message);
    this.setup = setup;
  }
}

function keysFor({ signingKey, dev }: WorkflowOptions, env: unknown): Keys {
  if (dev ?? readVariable("ROTOR_DEV", env) === "1") {
    if (readVariable("NODE_ENV", env) === "production") {
      throw new SetupError(
        "dev_in_production",
        "The development key is not used under NODE_ENV=production: remove ROTOR_DEV or `dev`, and set ROTOR_SIGNING_KEY",
      );
    }
    return { dev: true, secrets: [DEVELOPMENT_SIGNING_KEY] };
  }
  const given =
    typeof signingKey === "function" ? signingKey(env) : (signingKey ?? readVariable("ROTOR_SIGNING_KEY", env));
  const secrets = (typeof given === "string" ? [given] : (given ?? [])).filter((secret) => secret !== "");
  if (secrets.length > 0) return { dev: false, secrets };
  throw new SetupError(
    "no_signing_key",
    "This app has no signing key: set ROTOR_SIGNING_KEY to the workspace's key, or ROTOR_DEV=1 while you use `rotor dev`",
  );
}

function byId(functions: readonly RotorFunction[]): ReadonlyMap<string, RotorFunction> {
  const map = new Map<string, RotorFunction>();
  for (const one of functions) {
    if (map.has(one.id)) throw new RotorInputError(`Two functions have the id "${one.id}": give one of them another`);
    map.set(one.id, one);
  }
  return map;
}

const stepTimeOf = (maxDuration: Duration | undefined): number | undefined => {
  if (maxDuration === undefined) return undefined;
  const ms = parseDuration(maxDuration, { name: "maxDuration" });
  // Half of it where 5 s would leave too little to start anything.
  return ms - Math.min(ms / 2, Math.max(ms * 0.2, 5_000));
};

const sign = (value: Manifest | Answer, context: string, secrets: readonly string[]): string =>
  signAnswer(JSON.stringify(value), context, secrets, Math.floor(Date.now() / 1000));

/**
 * A fetch-style handler: `GET` introspection, `PUT` registration, `POST` a delivery. For long-lived servers see `serveWorkflow`.
 * @throws RotorInputError when two functions have one id, or `maxDuration` is no duration.
 */
export const workflowHandler = (options: WorkflowOptions): WorkflowHandler => createHandler(options, {});

/** Thresholds of the answer, and of `ReplayOptions.graceMs`. */
export type HandlerTiming = AnswerTiming & { readonly graceMs: number };

/** How a delivery speaks with its server. */
export type Wire = {
  readonly laneTo: (url: string) => Lane;
  readonly fetchSteps: FetchSteps;
  readonly reachableUrl: (url: string, env: unknown) => string;
};

const HTTP: Wire = { laneTo, fetchSteps, reachableUrl };

/** `workflowHandler` with its thresholds, for tests, which do not sleep, and over another wire than HTTP. */
export function createHandler(
  options: WorkflowOptions,
  timing: Partial<HandlerTiming>,
  wire: Wire = HTTP,
): WorkflowHandler {
  const { app = "default", streaming = true } = options;
  const served = withFailures(options.functions);
  const functions = byId(served);
  const manifests: readonly FunctionManifest[] = served.map(manifestOf);
  const hash = sha256Hex(JSON.stringify(manifests));
  const startWithinMs = stepTimeOf(options.maxDuration);
  const adviser = createAdviser();
  let draining = false;
  const inHand = createDeliveries();
  const deliveries = new Set<Promise<unknown>>();

  const introspect = (request: Request, keys: Keys): PlainAnswer => {
    const nonce = request.headers.get(headers.nonce);
    if (!nonce || !/^[0-9a-f]{32}$/.test(nonce))
      return refused(400, "no_nonce", `${headers.nonce}: 32 hex digits are missing`);
    const manifest: Manifest = {
      version: PROTOCOL_VERSION,
      app,
      sdk: SDK,
      hash,
      dev: keys.dev,
      checks: true,
      functions: manifests,
    };
    return signed(sign(manifest, manifestContext(nonce), keys.secrets));
  };

  const register = async (request: Request, env: unknown): Promise<Response> => {
    const base = (readVariable("ROTOR_BASE_URL", env) ?? DEFAULT_BASE_URL).replace(/\/+$/, "");
    const key = readVariable("ROTOR_API_KEY", env);
    const { origin, pathname } = new URL(request.url);
    try {
      const { status, text } = await send(`${base}/v1/functions/sync`, {
        method: "POST",
        headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }) },
        body: JSON.stringify({ url: origin + pathname }),
        timeoutMs: SYNC_TIMEOUT_MS,
      });
      return new Response(text, { status, headers: { "content-type": "application/json" } });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return refusal(502, "server_unreachable", `The Rotor server could not be reached: ${reason}`);
    }
  };

  const execute = async (one: RotorFunction, request: DeliveryRequest, keys: Keys, around: Around): Promise<string> => {
    const signedText = (body: AnswerBody): string => {
      const answer = { version: PROTOCOL_VERSION, hash, ...body } as Answer;
      return sign(answer, answerContext(request.run, request.delivery), keys.secrets);
    };
    const url = wire.reachableUrl(request.checkpoint.url, around.env);
    const stored = async () => [
      ...request.steps,
      ...(await wire.fetchSteps(url, request.checkpoint.token, request.more)),
    ];
    const { handler } = one;
    const { maxSteps } = one.config;
    if (request.check) {
      const steps = await stored();
      return signedText(await check({ request, steps, handler, maxSteps, ...around, graceMs: timing.graceMs }));
    }
    const mine = inHand.take(request.run, request.delivery);
    if (!mine) return signedText({ status: "stale" });
    try {
      const steps = await stored();
      const body = await replay({
        request,
        steps,
        handler,
        maxSteps,
        lane: wire.laneTo(url),
        ...around,
        startWithinMs,
        advice: keys.dev ? adviser(request.function, request.run) : undefined,
        graceMs: timing.graceMs,
        inHand: mine,
      });
      const known = steps.reduce((most, { seq = 0 }) => Math.max(most, seq), 0);
      if (mine.order === "hold" && body.status === "yield" && body.reports.length === 0 && body.known_seq === known) {
        // Unsigned: as if the delivery had not reached this app, which costs the run no attempt.
        return UNTOUCHED;
      }
      return signedText(body);
    } finally {
      inHand.drop(request.run, mine);
    }
  };

  const deliver = async (text: string, keys: Keys, around: Around): Promise<PlainAnswer> => {
    const request = JSON.parse(text) as DeliveryRequest;
    if (request.version !== PROTOCOL_VERSION) {
      return refused(500, "unknown_version", `This SDK speaks version ${PROTOCOL_VERSION} of the protocol: update it`);
    }
    if (request.app !== app) return refused(404, "other_app", `This is the app "${app}", not "${request.app}"`);
    const one = functions.get(request.function);
    if (!one) return refused(404, "no_function", `The app "${app}" has no function "${request.function}"`);
    if (draining) return refused(503, "draining", "This app is shutting down");
    const answer = execute(one, request, keys, around);
    const settled = answer.then(
      () => {},
      () => {},
    );
    deliveries.add(settled);
    void settled.then(() => deliveries.delete(settled));
    return answerInTime(answer, streaming, { ...ANSWER_TIMING, ...timing });
  };

  /** Whatever is wrong with what was sent, or with the setup of this app, is an answer. */
  const guarded = async (work: () => Promise<PlainAnswer>): Promise<PlainAnswer> => {
    try {
      return await work();
    } catch (error) {
      const code = error instanceof SetupError ? error.setup : "internal";
      return refused(500, code, error instanceof Error ? error.message : String(error));
    }
  };

  const post = async ({ body, header }: PlainCall, keys: Keys, env: unknown): Promise<PlainAnswer> => {
    if (!body) return refused(413, "body_too_large", `A delivery is at most ${MAX_BODY_BYTES} bytes`);
    if (!isSigned(body, header(headers.signature), keys)) return unsigned();
    return deliver(new TextDecoder().decode(body), keys, { env, traceparent: header("traceparent") });
  };

  const isSigned = (body: Uint8Array, signature: string | undefined, { secrets }: Keys): boolean =>
    verifyRotorSignature(body, signature ?? null, secrets);
  const unsigned = (): PlainAnswer =>
    refused(401, "bad_signature", "The request is not signed with this app's signing key");

  const handle = async (request: Request, env?: unknown): Promise<Response> => {
    if (request.method === "PUT") return register(request, env);
    if (request.method !== "GET" && request.method !== "POST") {
      return refusal(405, "method_not_allowed", "GET, PUT and POST are what a Rotor app answers");
    }
    if (request.bodyUsed) return rawBodyMissing(FETCH_REMEDY);
    const header = (name: string) => request.headers.get(name) ?? undefined;
    const answer = await guarded(async () => {
      const keys = keysFor(options, env);
      if (request.method === "POST") return post({ header, body: await readBody(request, MAX_BODY_BYTES) }, keys, env);
      return isSigned(new Uint8Array(), header(headers.signature), keys) ? introspect(request, keys) : unsigned();
    });
    return responseOf(answer);
  };

  const plain: PlainHandler = (call) => guarded(() => post(call, keysFor(options, undefined), undefined));

  const drain = async (): Promise<void> => {
    draining = true;
    inHand.hold();
    await Promise.all(deliveries);
  };

  return Object.assign(handle, { drain, [PLAIN]: plain });
}
