/** `serveWorkflow` and what stands beside it in an app. What each adapter does for Rotor is `adapters/conformance.test.ts`. */

import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { expect, test } from "vitest";
import { createFunction } from "./function.js";
import type { ServableApp } from "./mount.js";
import { serveWorkflow } from "./mount.js";
import { fastifyAt, listening, served, signedHeaders } from "./testing-kit/frameworks.js";
import { KEY } from "./testing-kit/peer.js";

const NONCE = "0123456789abcdef0123456789abcdef";
const options = { functions: [createFunction({ id: "hello" }, () => "hello")], signingKey: KEY };

const introspected = async (url: string, path: string): Promise<number> =>
  (await fetch(url + path, { headers: { ...signedHeaders(""), "x-rotor-nonce": NONCE } })).status;

test("serveWorkflow recognises each framework, and answers at /api/rotor or the path that is given", async () => {
  const mounts: Record<string, (path?: string) => Promise<string>> = {
    express: (path) => {
      const app = express();
      serveWorkflow(app, { ...options, path });
      return served(app);
    },
    fastify: (path) => {
      const app = fastify();
      serveWorkflow(app, { ...options, path });
      return fastifyAt(app);
    },
    hono: (path) => {
      const app = new Hono();
      serveWorkflow(app, { ...options, path });
      return served(getRequestListener(app.fetch));
    },
    koa: (path) => {
      const app = new Koa();
      serveWorkflow(app, { ...options, path });
      return served(app.callback());
    },
    "node:http": (path) => {
      const server = createServer();
      serveWorkflow(server, { ...options, path });
      return listening(server);
    },
  };
  for (const [name, mount] of Object.entries(mounts)) {
    expect([name, await introspected(await mount(), "/api/rotor")]).toEqual([name, 200]);
    const elsewhere = await mount("/jobs");
    expect([name, await introspected(elsewhere, "/jobs")]).toEqual([name, 200]);
    expect([name, await introspected(elsewhere, "/api/rotor")]).toEqual([name, 404]);
  }
});

test("routes beside it are answered as before, their bodies parsed as before", async () => {
  const post = (url: string) =>
    fetch(`${url}/other`, { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } });

  const onExpress = express();
  serveWorkflow(onExpress, options);
  onExpress.use(express.json()).post("/other", (request, response) => void response.json(request.body));
  expect(await (await post(await served(onExpress))).json()).toEqual({ a: 1 });

  const onFastify = fastify();
  onFastify.post("/other", async (request) => request.body);
  serveWorkflow(onFastify, options);
  expect(await (await post(await fastifyAt(onFastify))).json()).toEqual({ a: 1 });

  const onKoa = new Koa();
  serveWorkflow(onKoa, options);
  onKoa.use((context) => {
    context.body = "mine";
  });
  expect(await (await post(await served(onKoa.callback()))).text()).toBe("mine");

  const server = createServer((_request, response) => response.end("mine"));
  serveWorkflow(server, options);
  expect(await (await post(await listening(server))).text()).toBe("mine");
});

test("serveWorkflow names what it mounts on when it is given something else", () => {
  for (const app of [{}, () => {}, null, undefined, "app"]) {
    expect(() => serveWorkflow(app as unknown as ServableApp, options)).toThrow(
      "serveWorkflow mounts on an app of Hono, Express, Fastify or Koa, or on a server of node:http",
    );
  }
});
