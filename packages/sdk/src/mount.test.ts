import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createFunction } from "./function.js";
import type { ServableApp } from "./mount.js";
import { serveWorkflow } from "./mount.js";
import { answerContext, manifestContext } from "./protocol.js";
import { verifyAnswer } from "./signature.js";
import { deliveryTo, fastifyAt, koaParser, listening, served, signedHeaders } from "./testing-kit/frameworks.js";
import { KEY, startPeer } from "./testing-kit/peer.js";

const NONCE = "0123456789abcdef0123456789abcdef";
const PATH = "/api/rotor";
const hello = createFunction({ id: "hello", trigger: { event: "greeted" } }, async ({ event, step }) => [
  await step.run("once", () => event.data),
]);
const options = { functions: [hello], signingKey: KEY };

const closers: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const close of closers.splice(0)) await close();
});

/** A delivery of the function to an app that listens there. */
async function delivered(url: string) {
  const peer = await startPeer([hello]);
  closers.push(peer.close);
  const asked = peer.request(peer.create("hello", "Zoë"));
  const response = await deliveryTo(url + PATH, JSON.stringify(asked));
  const text = await response.text();
  const signed = verifyAnswer(text, answerContext(asked.run, asked.delivery), KEY);
  return { status: response.status, text, answer: signed && JSON.parse(signed.json), stored: peer.checkpoints.length };
}

/** That reading the app, registering it and a delivery work there, and an unsigned request does not. */
async function expectServed(url: string): Promise<void> {
  expect(await delivered(url)).toMatchObject({ status: 200, answer: { output: ["Zoë"] }, stored: 1 });
  const headers = { ...signedHeaders(""), "x-rotor-nonce": NONCE };
  const manifest = await (await fetch(url + PATH, { headers })).text();
  expect(JSON.parse(verifyAnswer(manifest, manifestContext(NONCE), KEY)!.json)).toMatchObject({ app: "default" });
  expect((await fetch(url + PATH, { method: "POST", body: "{}" })).status).toBe(401);
  const asked: unknown[] = [];
  const server = await served(async (request, response) => {
    for await (const chunk of request) asked.push(JSON.parse(String(chunk)));
    response.end("{}");
  });
  vi.stubEnv("ROTOR_BASE_URL", server);
  expect((await fetch(url + PATH, { method: "PUT" })).status).toBe(200);
  expect(asked).toEqual([{ url: url + PATH }]);
  vi.unstubAllEnvs();
}

const refused = async (url: string) => {
  const { status, text } = await delivered(url);
  return [status, (JSON.parse(text) as { error: { code: string; message: string } }).error.message];
};

describe("serveWorkflow on Express", () => {
  test("answers before a parser, and after one that keeps the bytes", async () => {
    const before = express();
    serveWorkflow(before, options);
    before.use(express.json());
    await expectServed(await served(before));
    const after = express();
    after.use(express.json({ verify: (request, _response, bytes) => Object.assign(request, { rawBody: bytes }) }));
    serveWorkflow(after, options);
    await expectServed(await served(after));
  });

  test("under a router, the app's address is the whole path", async () => {
    const router = express.Router();
    serveWorkflow(router, { ...options, path: "/rotor" });
    await expectServed(await served(express().use("/api", router)));
  });

  test("after a parser that drops the bytes, names the line to add", async () => {
    const app = express().use(express.json());
    serveWorkflow(app, options);
    expect(await refused(await served(app))).toEqual([500, expect.stringContaining("app.use(express.json({ verify:")]);
  });
});

describe("serveWorkflow on Fastify", () => {
  test("answers beside routes whose bodies are parsed as before", async () => {
    const app = fastify();
    app.post("/other", async (request) => request.body);
    serveWorkflow(app, options);
    const url = await fastifyAt(app);
    await expectServed(url);
    expect(await (await deliveryTo(`${url}/other`, '{"a":1}')).json()).toEqual({ a: 1 });
  });
});

describe("serveWorkflow on Koa", () => {
  test("answers without a parser, and after one that keeps the text", async () => {
    for (const parsers of [[], [koaParser({ keepsText: true })]]) {
      const app = new Koa();
      for (const parser of parsers)
        app.use((context, next) => (context.method === "POST" ? parser(context, next) : next()));
      serveWorkflow(app, options);
      app.use((context) => {
        context.body = "mine";
      });
      const url = await served(app.callback());
      await expectServed(url);
      expect(await (await fetch(`${url}/other`)).text()).toBe("mine");
    }
  });

  test("after a parser that drops the text, says which to use", async () => {
    const app = new Koa();
    app.use(koaParser({ keepsText: false }));
    serveWorkflow(app, options);
    expect(await refused(await served(app.callback()))).toEqual([500, expect.stringContaining("ctx.request.rawBody")]);
  });
});

describe("serveWorkflow on Hono", () => {
  test("answers, also after a middleware that has read the JSON", async () => {
    const app = new Hono();
    app.use(async (c, next) => {
      if (c.req.method === "POST") await c.req.json();
      await next();
    });
    serveWorkflow(app, options);
    await expectServed(await served(getRequestListener(app.fetch)));
  });
});

describe("serveWorkflow on node:http", () => {
  test("answers its path and leaves the others to the server's own listener", async () => {
    const server = createServer((_request, response) => response.end("mine"));
    serveWorkflow(server, options);
    const url = await listening(server);
    await expectServed(url);
    expect(await (await fetch(`${url}/other`)).text()).toBe("mine");
  });

  test("alone, answers 404 elsewhere", async () => {
    const server = createServer();
    serveWorkflow(server, options);
    expect((await fetch(`${await listening(server)}/other`)).status).toBe(404);
  });
});

test("serveWorkflow names what it mounts on when it is given something else", () => {
  for (const app of [{}, () => {}, null, undefined, "app"]) {
    expect(() => serveWorkflow(app as unknown as ServableApp, options)).toThrow(
      "serveWorkflow mounts on an app of Hono, Express, Fastify or Koa, or on a server of node:http",
    );
  }
});
