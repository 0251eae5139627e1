/** What all routes have in common: the document, unknown paths, headers, faults; and what only a socket shows. */
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDb } from "../store/db.js";
import { createApp } from "./app.js";
import { createApiKey } from "./auth.js";
import { testApi } from "./testing-kit/api.js";
import { type ClientApi, clientApi } from "./testing-kit/client.js";

type Document = {
  openapi: string;
  paths: Record<string, Record<string, { security: Record<string, string[]>[]; responses: object }>>;
  components: { schemas: object };
};

let kit: ClientApi;
let document: Document;

beforeAll(async () => {
  kit = await clientApi();
  document = (await kit.api.anonymous("GET", "/doc")).json;
});
afterAll(async () => {
  expect(kit.api.logged).toEqual([]);
  await kit.api.close();
});

describe("the document", () => {
  test("is OpenAPI 3.1 and lists every route with its answers, its scope and its errors", () => {
    expect(document.openapi).toBe("3.1.0");
    const listed = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const routes = kit.api.app.routes.filter(({ method, path }) => method !== "ALL" && path !== "/" && path !== "/doc");
    const wanted = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    expect(listed.sort()).toEqual([...new Set(wanted)].sort());
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const operation of Object.values(methods)) {
        expect(Object.keys(operation.responses).length).toBeGreaterThan(1);
        if (path.startsWith("/v1/") && !/session$|checkpoints|complete|fail$|heartbeat/.test(path))
          expect(operation.security[0]!.key).toHaveLength(1);
      }
    }
  });

  test("refers only to schemas that are there", () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      (match) => match[1]!,
    );
    expect(references.length).toBeGreaterThan(50);
    for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name);
  });

  test("says that unknown keys are refused", () => {
    expect(document.components.schemas).toMatchObject({
      NewQueue: { additionalProperties: false },
      NewJob: { additionalProperties: false },
    });
  });
});

describe("any path", () => {
  test("that is no route is 404, with another method 405, and says what there is", async () => {
    expect(await kit.send("GET", "/v1/queue")).toMatchObject({
      status: 404,
      json: { error: { code: "not_found", message: expect.stringContaining("/doc") } },
    });
    const { status, headers, json } = await kit.send("DELETE", "/v1/queues");
    expect([status, headers.get("allow"), json.error.code]).toEqual([405, "GET, POST", "method_not_allowed"]);
    for (const path of ["/v1/queues/", "/v1//queues", "/v1/queues/%2e%2e/keys", "/V1/queues"])
      expect((await kit.send("PATCH", path)).status).toBeGreaterThanOrEqual(404);
  });

  test("is answered with headers that keep browsers from making something of it", async () => {
    for (const path of ["/v1/queues", "/", "/doc", "/nowhere", "/sdk.tgz"]) {
      const { headers } = await kit.send("GET", path);
      expect([
        headers.get("x-content-type-options"),
        headers.get("x-frame-options"),
        headers.get("x-powered-by"),
      ]).toEqual(["nosniff", "DENY", null]);
      expect(headers.get("content-security-policy")).toMatch(/default-src 'none'/);
    }
    expect((await kit.send("GET", "/v1/queues")).headers.get("cache-control")).toBe("no-store");
  });
});

test("the server says that it lives and works, and names its store", async () => {
  expect((await kit.api.anonymous("GET", "/healthz")).json).toEqual({ status: "ok" });
  expect(await kit.api.anonymous("GET", "/readyz")).toMatchObject({
    status: 200,
    json: { status: "ready", store: "a test's schema", environment: "test", held: false },
  });
});

describe("when something is wrong", () => {
  test("with the server, the answer is 500 without its inside, and the log has it", async () => {
    const { api, send } = await clientApi();
    await api.database.db.script("alter table rotor.queues rename to gone");
    const { status, text, json } = await send("GET", "/v1/queues");
    expect([status, json.error.code]).toEqual([500, "internal"]);
    expect(text).not.toMatch(/relation|queues|select/);
    expect(api.logged).toMatchObject([{ message: "a request failed" }]);
    await api.close();
  });

  test("with the way to the database, the answer is 503 and says when to come again", async () => {
    const api = await testApi({ dev: true });
    const db = openDb({ url: "postgres://nobody@127.0.0.1:1/nothing" });
    const app = createApp({ ...api.engine, db }, { log: { error: () => undefined } });
    const answer = await app.request("http://localhost/v1/queues");
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toMatchObject({ error: { code: "unavailable" } });
    const ready = await app.request("http://localhost/readyz");
    expect([ready.status, await ready.json()]).toEqual([503, expect.objectContaining({ status: "no_store" })]);
    expect((await app.request("http://localhost/healthz")).status).toBe(200);
    await db.close();
    await api.close();
  });
});

describe("on a socket", () => {
  const statusOf = async (app: ReturnType<typeof createApp>, path: string, headers: string[]): Promise<number> => {
    const server = createServer(getRequestListener(app.fetch)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const sent = request({
      port,
      host: "127.0.0.1",
      path,
      agent: false,
      setHost: false,
      headers: ["host", `127.0.0.1:${port}`, ...headers],
    }).end();
    const [response] = await once(sent, "response");
    response.resume();
    await once(response, "end");
    server.close();
    return response.statusCode;
  };

  test("two Authorization headers are refused, even if each is good", async () => {
    const { key } = await createApiKey(kit.api.database.db, "default", "socket", ["read"]);
    const header = ["authorization", `Bearer ${key}`];
    expect(await statusOf(kit.api.app, "/v1/queues", header)).toBe(200);
    expect(await statusOf(kit.api.app, "/v1/queues", [...header, ...header])).toBe(401);
  });

  test("a program on this machine needs no key in development, and does outside of it", async () => {
    const dev = createApp({ ...kit.api.engine, config: { ...kit.api.engine.config, dev: true } });
    expect(await statusOf(dev, "/v1/queues", [])).toBe(200);
    expect(await statusOf(dev, "/v1/queues", ["origin", "http://evil.example"])).toBe(401);
    expect(await statusOf(kit.api.app, "/v1/queues", [])).toBe(401);
  });

  test("an id with a slash in it arrives whole", async () => {
    const { rotor, api } = kit;
    await rotor.queues.put("slashed");
    await rotor.jobs.enqueue("slashed", { jobId: "a/b%2Fc d" });
    const { key } = await createApiKey(api.database.db, "default", "socket", ["read"]);
    expect(
      await statusOf(api.app, `/v1/queues/slashed/jobs/${encodeURIComponent("a/b%2Fc d")}`, [
        "authorization",
        `Bearer ${key}`,
      ]),
    ).toBe(200);
  });
});
