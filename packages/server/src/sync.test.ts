/** What an app says of itself, and what is not believed. The app is a real one, served by the SDK. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createFunction, nodeHandler, workflowHandler } from "@rotorsh/sdk";
import { DEVELOPMENT_SIGNING_KEY } from "@rotorsh/sdk/protocol";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { parsePolicy } from "./delivery/guard.js";
import { Pools } from "./delivery/pools.js";
import { listApps } from "./store/apps.js";
import { createWorkspace } from "./store/workspaces.js";
import { sync } from "./sync.js";
import { type TestDatabase, testDatabase } from "./testing-kit/database.js";

const KEY = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
const OTHER_KEY = `whsec_${Buffer.alloc(32, 6).toString("base64")}`;

let database: TestDatabase;
const pools = new Pools({ policy: parsePolicy("loopback") });
const servers: Server[] = [];

beforeAll(async () => {
  database = await testDatabase();
  await createWorkspace(database.db, "default", "default");
});

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await database.db.script("delete from rotor.queues; delete from rotor.apps");
});

afterAll(async () => {
  await pools.close();
  await database.close();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/rotor`;
}

const handler = (ids: readonly string[], options: { app?: string; signingKey?: string; dev?: boolean } = {}) =>
  nodeHandler(
    workflowHandler({
      functions: ids.map((id) => createFunction({ id, trigger: { event: id } }, async () => null)),
      app: "shop",
      signingKey: KEY,
      ...options,
    }),
  );

const ask = (url: string, more: { dev?: boolean; secrets?: readonly string[]; move?: boolean } = {}) =>
  sync(
    { db: database.db, pools, dev: more.dev ?? false, now: Date.now, secrets: async () => more.secrets ?? [KEY] },
    "default",
    url,
    more.move ?? false,
  );

test("an app's functions are read; another reading says what came and went", async () => {
  let ids = ["a", "b"];
  const url = await serve((request, response) => void handler(ids)(request, response));
  expect(await ask(url)).toMatchObject({ ok: true, app: "shop", functions: 2, added: ["a", "b"], removed: [] });
  ids = ["b", "c"];
  expect(await ask(url)).toMatchObject({ ok: true, functions: 2, added: ["c"], removed: ["a"] });
});

test("while a key is rotated an app with the old one is still read", async () => {
  const url = await serve(handler(["a"]));
  expect(await ask(url, { secrets: [OTHER_KEY, KEY] })).toMatchObject({ ok: true });
});

test("an app with another key is not believed, and nothing is stored", async () => {
  const url = await serve(handler(["a"], { signingKey: OTHER_KEY }));
  expect(await ask(url)).toMatchObject({ ok: false, status: 424 });
  expect(await listApps(database.db, "default")).toEqual([]);
});

test("a manifest that was signed for another question is not believed", async () => {
  // Whoever overheard one answer plays it back.
  const app = await serve(handler(["a"]));
  let overheard: string | undefined;
  const url = await serve(async (request, response) => {
    overheard ??= await (
      await fetch(app, {
        headers: {
          "x-rotor-signature": String(request.headers["x-rotor-signature"]),
          "x-rotor-nonce": String(request.headers["x-rotor-nonce"]),
        },
      })
    ).text();
    response.end(overheard);
  });
  expect(await ask(url)).toMatchObject({ ok: true });
  expect(await ask(url)).toMatchObject({ ok: false, status: 424 });
});

test("an app in development mode is refused by any but a development server", async () => {
  const url = await serve(handler(["a"], { dev: true }));
  const secrets = [DEVELOPMENT_SIGNING_KEY];
  const refused = await ask(url, { secrets });
  expect(refused).toMatchObject({ ok: false, status: 422 });
  expect(refused).toHaveProperty("message", expect.stringContaining("ROTOR_DEV"));
  expect(await ask(url, { secrets, dev: true })).toMatchObject({ ok: true });
});

test("one URL serves one app, one app has one URL, one function one app", async () => {
  const first = await serve(handler(["a"]));
  const second = await serve(handler(["a"]));
  const renamed = await serve(handler(["a"], { app: "other" }));
  expect(await ask(first)).toMatchObject({ ok: true });
  expect(await ask(second)).toMatchObject({ ok: false, status: 409 });
  expect(await ask(renamed)).toMatchObject({ ok: false, status: 409 });
  expect(await ask(second, { move: true })).toMatchObject({ ok: true });
  expect(await listApps(database.db, "default")).toMatchObject([{ name: "shop", url: second }]);
});

test("what is no app, or not there, is said so", async () => {
  const page = await serve((_, response) => response.end("<h1>hello</h1>"));
  expect(await ask(page)).toMatchObject({ ok: false, status: 424 });
  const gone = await serve(() => undefined);
  await new Promise((resolve) => servers.pop()?.close(resolve));
  expect(await ask(gone)).toMatchObject({ ok: false, status: 424 });
  // Refused by the guard, and told as if nobody were there.
  expect(await ask("http://10.0.0.1/")).toMatchObject({
    ok: false,
    status: 424,
    message: expect.stringContaining("10.0.0.1 refused the connection, or has an address"),
  });
});

test("syncs of one app at the same time agree", async () => {
  const url = await serve(handler(["a", "b", "c"]));
  const results = await Promise.all(Array.from({ length: 5 }, () => ask(url)));
  expect(results.filter((result) => result.ok && result.added.length > 0)).toHaveLength(1);
  for (const result of results) expect(result).toMatchObject({ ok: true, functions: 3 });
});
