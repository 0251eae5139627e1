/** Every way to put functions into a server, as the conformance list goes through them. A new adapter is a new row here. */

import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { nodeHandler } from "../adapters/node.js";
import { mount } from "../mount.js";
import type { WorkflowHandler } from "../serve.js";
import { fastifyAt, koaParser, listening, served } from "./frameworks.js";

export const PATH = "/api/rotor";

/** An app that serves a handler: its address, and a request to it. */
export type Serving = { readonly url: string; readonly call: (init: RequestInit) => Promise<Response> };

export type Adapter = {
  readonly serve: (handler: WorkflowHandler) => Promise<Serving>;
  /** The same behind something that has parsed the body and thrown its bytes away; what the refusal then tells to write. */
  readonly parsed?: { readonly serve: Adapter["serve"]; readonly remedy: RegExp };
};

const over = (url: string): Serving => ({ url: url + PATH, call: (init) => fetch(url + PATH, init) });

const onExpress = (prepare: (app: express.Express) => unknown) => async (handler: WorkflowHandler) => {
  const app = express();
  prepare(app);
  mount(app, PATH, handler);
  return over(await served(app));
};

const onKoa =
  (...parsers: Koa.Middleware[]) =>
  async (handler: WorkflowHandler) => {
    const app = new Koa();
    for (const parser of parsers)
      app.use((context, next) => (context.method === "POST" ? parser(context, next) : next()));
    mount(app, PATH, handler);
    return over(await served(app.callback()));
  };

const onHono = (read?: (request: HonoRequest) => Promise<unknown>) => {
  return async (handler: WorkflowHandler) => {
    const app = new Hono();
    app.use(async (c, next) => {
      if (c.req.method === "POST") await read?.(c.req);
      await next();
    });
    mount(app, PATH, handler);
    return over(await served(getRequestListener(app.fetch)));
  };
};
type HonoRequest = { json(): Promise<unknown>; text(): Promise<string>; readonly raw: Request };

type Parsed = { rawBody?: unknown; body?: unknown };

/** `node:http` behind something that has read the body. */
const onNode = (keep?: (request: Parsed, text: string) => void) => async (handler: WorkflowHandler) => {
  const listener = nodeHandler(handler);
  const server = createServer(async (request, response) => {
    if (keep && request.method === "POST") {
      let text = "";
      for await (const chunk of request.setEncoding("utf8")) text += chunk;
      keep(request as Parsed, text);
    }
    await listener(request, response);
  });
  return over(await listening(server));
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    // What is no JSON a parser would have refused; no test sends such a body through one.
    return {};
  }
};

const ADDRESS = `http://app.test${PATH}`;

/** A module of a route, as the build of Next.js takes it and its server calls it. */
const onNext = (before: (request: Request) => Promise<unknown> = async () => {}) => {
  type Route = (request: Request, context: { params: Promise<Record<string, string>> }) => Promise<Response>;
  return async (handler: WorkflowHandler): Promise<Serving> => {
    const routes: { readonly [method: string]: Route } = { GET: handler, PUT: handler, POST: handler };
    return {
      url: ADDRESS,
      call: async (init) => {
        const request = new Request(ADDRESS, init);
        if (request.method === "POST") await before(request);
        return routes[request.method]!(request, { params: Promise.resolve({}) });
      },
    };
  };
};

const onFetch = (before: (request: Request) => Promise<unknown> = async () => {}) => {
  return async (handler: WorkflowHandler): Promise<Serving> => ({
    url: ADDRESS,
    call: async (init) => {
      const request = new Request(ADDRESS, init);
      if (request.method === "POST") await before(request);
      return handler(request);
    },
  });
};

const EXPRESS_LINE = /app\.use\(express\.json\(\{ verify: \(req, _res, buf\) => \{ req\.rawBody = buf \} \}\)\)/;

export const adapters: Readonly<Record<string, Adapter>> = {
  "Express 5": {
    serve: onExpress(() => {}),
    parsed: { serve: onExpress((app) => app.use(express.json({ limit: "9mb" }))), remedy: EXPRESS_LINE },
  },
  "Express 5, after a parser that keeps the bytes": {
    serve: onExpress((app) =>
      app.use(
        express.json({ limit: "9mb", verify: (request, _, bytes) => Object.assign(request, { rawBody: bytes }) }),
      ),
    ),
  },
  "a router of Express 5": {
    serve: async (handler) => {
      const router = express.Router();
      mount(router, "/rotor", handler);
      return over(await served(express().use("/api", router)));
    },
  },
  Hono: {
    serve: onHono(),
    parsed: { serve: onHono((request) => request.raw.json()), remedy: /await c\.req\.text\(\)/ },
  },
  "Hono, after a middleware that has read the JSON": { serve: onHono((request) => request.json()) },
  "node:http": {
    serve: onNode(),
    parsed: {
      serve: onNode((request, text) => Object.assign(request, { body: jsonOf(text) })),
      remedy: /request\.rawBody.*express\.json.*bodyParser: false/,
    },
  },
  "node:http, with the bytes kept": {
    serve: onNode((request, text) => Object.assign(request, { rawBody: Buffer.from(text), body: jsonOf(text) })),
  },
  "node:http, with a body of bytes": {
    serve: onNode((request, text) => Object.assign(request, { body: Buffer.from(text) })),
  },
  "node:http, with a body of text": { serve: onNode((request, text) => Object.assign(request, { body: text })) },
  "a server of node:http": {
    serve: async (handler) => {
      const server = createServer((_, response) => response.end("mine"));
      mount(server, PATH, handler);
      return over(await listening(server));
    },
  },
  "a route handler of Next.js": {
    serve: onNext(),
    parsed: { serve: onNext((request) => request.json()), remedy: /await request\.clone\(\)\.text\(\)/ },
  },
  "a fetch-style handler": {
    serve: onFetch(),
    parsed: { serve: onFetch((request) => request.json()), remedy: /await request\.clone\(\)\.text\(\)/ },
  },
  Fastify: {
    serve: async (handler) => {
      const app = fastify();
      app.post("/other", async (request) => request.body);
      mount(app, PATH, handler);
      return over(await fastifyAt(app));
    },
  },
  Koa: {
    serve: onKoa(),
    parsed: { serve: onKoa(koaParser({ keepsText: false })), remedy: /ctx\.request\.rawBody/ },
  },
  "Koa, after a parser that keeps the text": { serve: onKoa(koaParser({ keepsText: true })) },
};
