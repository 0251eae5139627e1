import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApiKey } from "./auth.js";
import { type Send, type TestApi, testApi } from "./testing-kit/api.js";

let api: TestApi;
let admin: Send;

beforeAll(async () => {
  api = await testApi();
  admin = await api.as("default", ["admin"]);
});
afterAll(() => api.close());

const bearer = (key: string, scheme = "Bearer") => ({ authorization: `${scheme} ${key}` });

describe("a request", () => {
  test.each<[string, Record<string, string>]>([
    ["without a key", {}],
    ["with an empty key", { authorization: "" }],
    ["with another scheme", { authorization: "Basic cm90b3I6eA==" }],
    ["with a well-formed key that nobody made", bearer(`rt_ws_default_${"a".repeat(43)}`)],
    ["that names its workspace in a header", { "x-workspace-id": "default", "x-rotor-workspace": "default" }],
    ["with an overridden method", { "x-http-method-override": "GET" }],
    ["that says it comes from this machine", { host: "127.0.0.1:7686", "x-forwarded-for": "127.0.0.1" }],
  ])("%s is answered with 401 and a sentence", async (_, headers) => {
    const { status, json, headers: answered } = await api.anonymous("GET", "/v1/queues", undefined, headers);
    expect([status, json.error.code, answered.get("www-authenticate")]).toEqual([401, "unauthorized", "Bearer"]);
    expect(json.error.message).toMatch(/Authorization: Bearer rt_ws_/);
  });

  test("with two keys, or a key with something after it, is answered with 401", async () => {
    const { key } = await createApiKey(api.database.db, "default", "two", ["read"]);
    expect((await api.anonymous("GET", "/v1/queues", undefined, bearer(key))).status).toBe(200);
    expect((await api.anonymous("GET", "/v1/queues", undefined, bearer(key, "bearer"))).status).toBe(200);
    for (const text of [
      `${key}, Bearer ${key}`,
      `${key}x`,
      `${key} x`,
      key.slice(0, -1),
      key.replace("default", "other"),
    ]) {
      expect((await api.anonymous("GET", "/v1/queues", undefined, bearer(text))).status).toBe(401);
    }
  });

  test("with an expired key is answered with 401, from the moment on that it expires by the database's clock", async () => {
    const other = await testApi();
    const { key } = await createApiKey(other.database.db, "default", "short", ["read"], new Date(Date.now() + 60_000));
    expect((await other.anonymous("GET", "/v1/queues", undefined, bearer(key))).status).toBe(200);
    await other.database.shiftClock(61_000);
    expect((await other.anonymous("GET", "/v1/queues", undefined, bearer(key))).status).toBe(401);
    await other.close();
  });

  test("with a key that was revoked is answered with 401", async () => {
    const made = (await admin("POST", "/v1/keys", { name: "ci", scopes: ["read"] })).json;
    expect((await api.anonymous("GET", "/v1/queues", undefined, bearer(made.key))).status).toBe(200);
    expect((await admin("DELETE", `/v1/keys/${made.id}`)).status).toBe(204);
    expect((await api.anonymous("GET", "/v1/queues", undefined, bearer(made.key))).status).toBe(401);
  });

  test("whose key opens another workspace finds nothing of this one", async () => {
    await admin("PUT", "/v1/queues/mine", {});
    const other = await api.as("other");
    expect((await other("GET", "/v1/queues")).json.data).toEqual([]);
    expect((await other("GET", "/v1/queues/mine")).status).toBe(404);
  });
});

describe("a key without the scope", () => {
  test.each<[string, string, string, unknown]>([
    ["read", "POST", "/v1/queues", { name: "q" }],
    ["read", "POST", "/v1/queues/mine/jobs", { payload: 1 }],
    ["read", "POST", "/v1/events", { name: "e" }],
    ["read", "POST", "/v1/dlq/replay", { queue: "q" }],
    ["write", "GET", "/v1/queues", undefined],
    ["write", "GET", "/v1/stream", undefined],
    ["write", "POST", "/v1/approvals/x/approve", {}],
    ["write", "GET", "/v1/keys", undefined],
    ["approve", "POST", "/v1/signals/x/complete", {}],
    ["admin", "GET", "/v1/workspaces", undefined],
    ["admin", "POST", "/v1/keys", { scopes: ["workspaces"] }],
  ])("(%s: %s %s) is answered with 403 that names it", async (scope, method, path, body) => {
    const send = await api.as("default", [scope as "read"]);
    const { status, json } = await send(method, path, body);
    expect([status, json.error.code]).toEqual([403, "forbidden"]);
    expect(json.error.message).toContain(`"${json.error.details.scope}"`);
  });

  test("of the administrator may do all within its workspace", async () => {
    expect((await admin("GET", "/v1/queues")).status).toBe(200);
    expect((await admin("POST", "/v1/queues", { name: "by-admin" })).status).toBe(201);
    expect((await admin("POST", "/v1/approvals/00000000-0000-7000-8000-000000000000/approve", {})).status).toBe(404);
  });
});

describe("in development", () => {
  const asked = async (headers: Record<string, string>, env?: object): Promise<number> => {
    const dev = await testApi({ dev: true });
    const { status } = await dev.app.request("http://localhost:7686/v1/keys", { headers }, env);
    await dev.close();
    return status;
  };

  test.each(["127.0.0.1", "localhost:7686", "[::1]:7686"])("a request to %s needs no key", async (host) => {
    expect(await asked({ host })).toBe(200);
    expect(await asked({ host, origin: `http://${host}` })).toBe(200);
  });

  test.each<[string, Record<string, string>]>([
    ["a name that was pointed to this machine", { host: "evil.example:7686" }],
    ["a page of another site", { host: "localhost:7686", origin: "https://evil.example" }],
    ["a page without origin", { host: "localhost:7686", origin: "null" }],
    ["a page on another port", { host: "localhost:7686", origin: "http://localhost:3000" }],
    ["a name that only begins like this machine's", { host: "127.0.0.1.evil.example" }],
    ["a proxy for somebody else", { host: "localhost:7686", "x-forwarded-for": "203.0.113.9" }],
    ["a wrong key", { host: "localhost:7686", authorization: "Bearer wrong" }],
  ])("a request of %s needs a key", async (_, headers) => {
    expect(await asked(headers)).toBe(401);
  });

  test("a request whose socket is not of this machine needs a key, whatever it says", async () => {
    const from = (remoteAddress: string) => ({ incoming: { socket: { remoteAddress } } });
    expect(await asked({ host: "localhost" }, from("192.168.1.7"))).toBe(401);
    expect(await asked({ host: "localhost" }, from("::ffff:127.0.0.1"))).toBe(200);
  });
});
