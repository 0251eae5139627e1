/**
 * The routes that a busy server is asked for most (a job, an event, a checkpoint), straight from Node's request to Node's
 * response. The web's Request, Response and headers around each, and the router, cost a small request more than all that
 * its route does. A route is written once: it sees the same context here, as far as it may use one (`PlainContext`), and
 * whatever is unusual about a request is left to the other door.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Context } from "hono";
import { limits } from "../core/limits.js";
import { answerError, type Log } from "./errors.js";

/** A route as it was hung: its POST, and what answers it. */
export type PlainRoute = { readonly path: string; readonly handle: (c: Context) => Promise<Response> };

/** An answer before it is one. */
class PlainAnswer {
  readonly ok: boolean;
  constructor(
    readonly status: number,
    readonly text: string,
    readonly headers: Readonly<Record<string, string>>,
  ) {
    this.ok = status < 300;
  }
}

/** Of Hono's context, what a route with a plain door may use. */
class PlainContext {
  readonly req: {
    readonly method: "POST";
    readonly path: string;
    readonly url: string;
    readonly header: (name: string) => string | undefined;
    readonly param: () => Readonly<Record<string, string>>;
    readonly queries: () => Readonly<Record<string, string[]>>;
  };

  constructor(
    readonly env: { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse },
    path: string,
    params: Readonly<Record<string, string>>,
  ) {
    const { headers } = env.incoming;
    this.req = {
      method: "POST",
      path,
      url: `http://${headers.host}${path}`,
      header(name) {
        const value = headers[name.toLowerCase()];
        return typeof value === "object" ? value.join(", ") : value;
      },
      param: () => params,
      queries: () => NONE,
    };
  }

  json(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): PlainAnswer {
    return new PlainAnswer(status, JSON.stringify(value), headers);
  }
}

const NONE = {};

/** A name in a path that is itself, with nothing to be decoded. */
const NAME = "(\\w[\\w.~-]*)";

type Match = { readonly route: PlainRoute; readonly pattern: RegExp; readonly names: readonly string[] };

const matchOf = (route: PlainRoute): Match => ({
  route,
  pattern: new RegExp(`^${route.path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, NAME)}$`),
  names: [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!),
});

/** Whether a request's body is of a known and moderate length, and as it is: it is read, or thrown away, in any case. */
function isUsual({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return (
    length !== undefined &&
    Number(length) <= limits.bodyBytes &&
    headers["transfer-encoding"] === undefined &&
    headers["content-encoding"] === undefined &&
    headers.expect === undefined &&
    headers.host !== undefined
  );
}

/** Takes what it can; the rest is `other`'s. `headers`: of every answer, names and values in turn. */
export function plainDoor(
  routes: readonly PlainRoute[],
  headers: readonly string[],
  log: Log,
  other: RequestListener,
): RequestListener {
  const matches = routes.map(matchOf);

  const answer = async (c: PlainContext, route: PlainRoute): Promise<void> => {
    const { incoming, outgoing } = c.env;
    // What a route is given, and what it answers, is typed as Hono's: here it is the part of it that is above.
    const context = c as unknown as Context;
    let made: PlainAnswer;
    try {
      made = (await route.handle(context)) as unknown as PlainAnswer;
    } catch (error) {
      made = answerError(error, context, log) as unknown as PlainAnswer;
    }
    // Whoever asked may have left.
    if (outgoing.destroyed) return;
    outgoing.writeHead(made.status, [
      ...headers,
      "content-type",
      "application/json",
      "content-length",
      String(Buffer.byteLength(made.text)),
      ...Object.entries(made.headers).flat(),
    ]);
    outgoing.end(made.text);
    if (!incoming.readableEnded) incoming.resume();
  };

  return (incoming, outgoing) => {
    const path = incoming.url!;
    if (incoming.method === "POST" && isUsual(incoming))
      for (const { route, pattern, names } of matches) {
        const found = pattern.exec(path);
        if (found === null) continue;
        const params = Object.fromEntries(names.map((name, n) => [name, found[n + 1]!]));
        void answer(new PlainContext({ incoming, outgoing }, path, params), route);
        return;
      }
    other(incoming, outgoing);
  };
}
