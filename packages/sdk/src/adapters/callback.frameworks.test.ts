import type { RequestListener } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { describe, expect, test } from "vitest";
import { callbackHandler } from "../callback.js";
import { deliveryTo, fastifyAt, koaParser, served, signedHeaders } from "../testing-kit/frameworks.js";
import { KEY } from "../testing-kit/peer.js";

const PATH = "/rotor/enrichment";
// Two spaces and 1.0: parsed and written anew, it would be other bytes.
const JSON_BODY = '{"name":"Zoë 🎉",  "n": 1.0}';
const BYTES = Uint8Array.of(0, 255, 123, 34);
const OCTETS = { "content-type": "application/octet-stream" };

const handler = callbackHandler({ secret: KEY }, ({ payload, jobId, attempt }) => ({
  payload: payload instanceof Uint8Array ? [...payload] : payload,
  jobId,
  attempt,
}));

const answerTo = async (url: string, body: string | Uint8Array, extra?: Record<string, string>) => {
  const response = await deliveryTo(url + PATH, body, extra);
  return { status: response.status, json: (await response.json()) as { error?: { code: string; message: string } } };
};

const worked = (payload: unknown) => ({ status: 200, json: { payload, jobId: "job1", attempt: 2 } });

async function expectJobsDone(url: string): Promise<void> {
  expect(await answerTo(url, JSON_BODY)).toEqual(worked({ name: "Zoë 🎉", n: 1 }));
  expect(await answerTo(url, BYTES, OCTETS)).toEqual(worked([...BYTES]));
  expect(await answerTo(url, '"text"')).toEqual(worked("text"));
  const forged = await answerTo(url, JSON_BODY, { "x-rotor-signature": signedHeaders("{}")["x-rotor-signature"] });
  expect([forged.status, forged.json.error?.code]).toEqual([401, "bad_signature"]);
}

/** The refusal's message, whose line is then run as a reader would paste it. */
async function messageOf(url: string, body = JSON_BODY): Promise<string> {
  const { status, json } = await answerTo(url, body);
  expect([status, json.error?.code]).toEqual([500, "raw_body_missing"]);
  return json.error!.message;
}

describe("Express", () => {
  const at = (prepare: (app: express.Express) => unknown) => {
    const app = express();
    prepare(app);
    app.post(PATH, handler);
    return served(app);
  };

  test("without a parser, and before one, the body is read by the handler", async () => {
    await expectJobsDone(await at(() => {}));
    const app = express().post(PATH, handler).use(express.json());
    await expectJobsDone(await served(app as RequestListener));
  });

  test("after express.json() the handler names the line to add, and the line works", async () => {
    const message = await messageOf(await at((app) => app.use(express.json())));
    const [line] = /app\.use\(express\.json.*?\}\)\)/.exec(message)!;
    expect(line).toBe("app.use(express.json({ verify: (req, _res, buf) => { req.rawBody = buf } }))");
    const url = await at((app) => new Function("app", "express", line!)(app, express));
    expect(await answerTo(url, JSON_BODY)).toEqual(worked({ name: "Zoë 🎉", n: 1 }));
    expect(await answerTo(url, BYTES, OCTETS)).toEqual(worked([...BYTES]));
  });

  test("a JSON string that a parser has unwrapped is not taken for the raw body", async () => {
    await messageOf(await at((app) => app.use(express.json({ strict: false }))), '"text"');
  });

  test("bodies of bytes and text are taken as they are", async () => {
    await expectJobsDone(await at((app) => app.use(express.raw({ type: "*/*" }))));
    const url = await at((app) => app.use(express.text({ type: "*/*" })));
    expect(await answerTo(url, JSON_BODY)).toEqual(worked({ name: "Zoë 🎉", n: 1 }));
  });

  test("an empty payload arrives, parser or not", async () => {
    for (const prepare of [() => {}, (app: express.Express) => app.use(express.json())]) {
      expect(await answerTo(await at(prepare), "")).toEqual({ status: 200, json: { jobId: "job1", attempt: 2 } });
    }
  });
});

describe("Fastify", () => {
  test("its own JSON parser makes the handler name the plugin to write, and the plugin works", async () => {
    const app = fastify();
    app.post(PATH, handler);
    const message = await messageOf(await fastifyAt(app));
    const line = message.slice(message.indexOf("app.register("));
    const mended = fastify();
    mended.post("/other", async (request) => request.body);
    new Function("app", "handler", line.replace("/rotor/…", PATH))(mended, handler);
    const url = await fastifyAt(mended);
    await expectJobsDone(url);
    expect(await (await deliveryTo(`${url}/other`, '{"a":1}')).json()).toEqual({ a: 1 });
  });

  test("with a parser that leaves the body unread, the handler reads it", async () => {
    const app = fastify();
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", (_request, _payload, done) => done(null));
    app.post(PATH, handler);
    await expectJobsDone(await fastifyAt(app));
  });

  test("with the bytes kept as rawBody, as fastify-raw-body keeps them, the parsed body does not matter", async () => {
    const app = fastify();
    app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
      Object.assign(request, { rawBody: body });
      done(null, JSON.parse(body.toString()));
    });
    app.post(PATH, handler);
    expect(await answerTo(await fastifyAt(app), JSON_BODY)).toEqual(worked({ name: "Zoë 🎉", n: 1 }));
  });
});

describe("Koa", () => {
  const at = (...middleware: Koa.Middleware[]) => {
    const app = new Koa();
    for (const one of middleware) app.use(one);
    app.use((context, next) => (context.path === PATH ? handler(context) : next()));
    return served(app.callback());
  };

  test("without a parser the body is read by the handler", async () => {
    await expectJobsDone(await at());
  });

  test("with a parser that keeps the text, the text is taken; with another, the handler says which to use", async () => {
    expect(await answerTo(await at(koaParser({ keepsText: true })), JSON_BODY)).toEqual(
      worked({ name: "Zoë 🎉", n: 1 }),
    );
    const message = await messageOf(await at(koaParser({ keepsText: false })));
    expect(message).toMatch(/ctx\.request\.rawBody.*app\.use\(bodyParser\(\)\)/);
  });
});

describe("Hono", () => {
  const at = (prepare: (app: Hono) => unknown = () => {}) => {
    const app = new Hono();
    prepare(app);
    app.post(PATH, handler);
    return served(getRequestListener(app.fetch));
  };

  test("the handler is a route as it is", async () => {
    await expectJobsDone(await at());
  });

  test("a middleware may have read the JSON or the text, since Hono keeps it", async () => {
    for (const form of ["json", "text", "arrayBuffer"] as const) {
      const url = await at((app) =>
        app.use(async (c, next) => {
          await c.req[form]();
          await next();
        }),
      );
      expect(await answerTo(url, JSON_BODY)).toEqual(worked({ name: "Zoë 🎉", n: 1 }));
    }
  });

  test("a body that was read past Hono is told", async () => {
    const url = await at((app) =>
      app.use(async (c, next) => {
        await c.req.raw.json();
        await next();
      }),
    );
    expect(await messageOf(url)).toContain("await c.req.text()");
  });

  test("the secret may come with the request, as on Workers", async () => {
    const late = callbackHandler({ secret: (env) => (env as { SECRET: string }).SECRET }, () => "done");
    const app = new Hono().post(PATH, late);
    const request = { method: "POST", body: "{}", headers: signedHeaders("{}") };
    expect(await (await app.request(PATH, request, { SECRET: KEY })).json()).toBe("done");
  });
});

describe("node:http", () => {
  test("the handler is a listener as it is", async () => {
    await expectJobsDone(await served(handler));
  });

  test("a parsed body alone is told, with what each framework on it has", async () => {
    const url = await served(async (request, response) => {
      let text = "";
      for await (const chunk of request.setEncoding("utf8")) text += chunk;
      await handler(Object.assign(request, { body: JSON.parse(text) }), response);
    });
    expect(await messageOf(url)).toMatch(/request\.rawBody.*express\.json.*bodyParser: false/);
  });
});

describe("a route handler of Next.js", () => {
  // What its build asks of a module's POST.
  type Route = (request: Request, context: { params: Promise<Record<string, string>> }) => Promise<Response>;
  const POST: Route = handler;
  const context = { params: Promise.resolve({}) };
  const request = () =>
    new Request(`http://app.test${PATH}`, { method: "POST", body: JSON_BODY, headers: signedHeaders(JSON_BODY) });

  test("is the handler as it is", async () => {
    const response = await POST(request(), context);
    expect({ status: response.status, json: await response.json() }).toEqual(worked({ name: "Zoë 🎉", n: 1 }));
  });

  test("tells of a body that was read before, and takes one that was read from a copy", async () => {
    const [read, copied] = [request(), request()];
    await read.json();
    expect(await (await POST(read, context)).json()).toMatchObject({
      error: { code: "raw_body_missing", message: expect.stringContaining("await request.clone().text()") },
    });
    await copied.clone().json();
    expect((await POST(copied, context)).status).toBe(200);
  });
});

test("a call that is none of these is refused with the list of what is", () => {
  expect(() => handler({} as Request)).toThrow(/a Request, .* Hono or Koa, .* Express, Fastify or node:http/);
});
