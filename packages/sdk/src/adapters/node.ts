/** `node:http`, and whatever hands on its request and response: a fetch-style handler as a request listener. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { refusal } from "../answer.js";
import { MAX_BODY_BYTES } from "../request-body.js";
import { type FetchHandler, PLAIN, type PlainAnswer, type PlainHandler, rawBodyMissing } from "./fetch.js";
import { type BodyHolder, bytesUnread, rawBodyOf, streamOf } from "./raw-body.js";

/** One request as Node and the frameworks on it hand it on. */
export type NodeCall = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Where the framework leaves bodies (default: on `request`). */
  readonly holder?: BodyHolder;
  /** What its user writes so that the bytes are kept. */
  readonly remedy: string;
};

const NODE_REMEDY =
  "Mount this handler before the parser, or keep the bytes as request.rawBody: with Express " +
  "app.use(express.json({ verify: (req, _res, buf) => { req.rawBody = buf } })); in a Next.js page " +
  "export const config = { api: { bodyParser: false } }";

/** A client may send any text as Host; one that makes no URL is not worth an exception. */
function urlOf(request: IncomingMessage): string {
  const encrypted = "encrypted" in request.socket && request.socket.encrypted === true;
  const path = (request as { originalUrl?: string }).originalUrl ?? request.url ?? "/";
  const url = (host: string) => `${encrypted ? "https" : "http"}://${host}${path}`;
  const asked = url(request.headers.host ?? "localhost");
  return URL.canParse(asked) ? asked : url("localhost");
}

/** Aborts when the one who asked has gone before the answer was written. */
function signalOf(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}

/** Undefined when only a parsed body is left of it. */
function toRequest({ request, response, holder }: NodeCall): Request | undefined {
  const method = request.method ?? "GET";
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined && !name.startsWith(":"))
      headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  const plain = { method, headers, signal: signalOf(response) };
  if (method !== "POST") return new Request(urlOf(request), plain);
  const raw = rawBodyOf(request, holder);
  const body = raw instanceof Uint8Array ? raw : raw && streamOf(raw);
  // TypeScript's own types of Request do not know `duplex`, nor that bytes are a body.
  return body && new Request(urlOf(request), { ...plain, body, duplex: "half" } as RequestInit);
}

/** Resolves when the answer is out of this process's hands: given to the system, or lost. */
const left = (to: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    if (to.writableFinished || to.destroyed) return resolve();
    to.once("finish", resolve);
    to.once("close", resolve);
  });

async function write(response: Response, { request, response: to }: NodeCall): Promise<void> {
  // What is left of an unread body would be taken for the next request.
  if (!request.complete) to.setHeader("connection", "close");
  to.writeHead(response.status, Object.fromEntries(response.headers));
  const reader = response.body?.getReader();
  if (!reader) {
    to.end();
    return left(to);
  }
  to.once("close", () => {
    // Refused when the stream has ended already, which is as good.
    reader.cancel().catch(() => {});
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (done || to.destroyed) break;
    to.write(value);
  }
  to.end();
  return left(to);
}

/** Writes an answer that is no `Response`. */
function writePlain({ status, headers, text }: PlainAnswer, { request, response: to }: NodeCall): Promise<void> {
  if (!request.complete) to.setHeader("connection", "close");
  to.writeHead(status, headers);
  if (typeof text === "string") {
    to.end(text);
    return left(to);
  }
  to.write(" ");
  const life = setInterval(() => to.write(" "), text.lifeEveryMs);
  const end = (finish: () => void) => {
    clearInterval(life);
    if (!to.destroyed) finish();
  };
  text.later.then(
    (late) => end(() => to.end(late)),
    () => end(() => to.destroy()),
  );
  to.once("close", () => clearInterval(life));
  return left(to);
}

/** Undefined where it is left to the fetch-style door: it is no POST, or only a parsed body is left of it. */
async function plainAnswerOf(handler: PlainHandler, { request, holder }: NodeCall): Promise<PlainAnswer | undefined> {
  if (request.method !== "POST") return undefined;
  const raw = rawBodyOf(request, holder);
  if (raw === undefined) return undefined;
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  const announced = Number(request.headers["content-length"] ?? 0);
  if (raw instanceof Uint8Array) return handler({ header, body: raw.length > MAX_BODY_BYTES ? undefined : raw });
  return handler({ header, body: announced > MAX_BODY_BYTES ? undefined : await bytesUnread(raw, MAX_BODY_BYTES) });
}

async function answerOf(handler: FetchHandler, call: NodeCall): Promise<Response> {
  let asked: Request | undefined;
  try {
    asked = toRequest(call);
  } catch (error) {
    // A method or header that `Request` does not take: nothing of Rotor's. Thrown on, it would end the process.
    return refusal(400, "bad_request", String(error));
  }
  if (!asked) return rawBodyMissing(call.remedy);
  return handler(asked).catch((error: unknown) => refusal(500, "internal", String(error)));
}

/** Calls whose answers have not left. */
const answering = new Set<Promise<void>>();

/** Resolves when the answers to all calls in hand have left this process: before, it must not end. */
export const answersLeft = async (): Promise<void> => void (await Promise.all(answering));

async function answer(handler: FetchHandler, call: NodeCall): Promise<void> {
  const plain = handler[PLAIN];
  try {
    const ready = plain && (await plainAnswerOf(plain, call));
    if (ready) return await writePlain(ready, call);
  } catch {
    // The body broke off: there is nobody left to tell.
    call.response.destroy();
    return;
  }
  const response = await answerOf(handler, call);
  // The connection was lost while the answer was written: there is nobody left to tell.
  await write(response, call).catch(() => call.response.destroy());
}

/** Has the handler answer a call of Node or of a framework on it; resolves when the answer has left. Never rejects. */
export function answerNode(handler: FetchHandler, call: NodeCall): Promise<void> {
  const done = answer(handler, call).finally(() => answering.delete(done));
  answering.add(done);
  return done;
}

/** A listener for `http.createServer`, and for frameworks that hand on Node's own request and response. */
export const nodeHandler =
  (handler: FetchHandler) =>
  (request: IncomingMessage, response: ServerResponse): Promise<void> =>
    answerNode(handler, { request, response, remedy: NODE_REMEDY });
