/** Logins: what a cookie may, what ends it, and what no other site can do with it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { createApp } from "./app.js";
import { createApiKey } from "./auth.js";
import { type TestApi, testApi } from "./testing-kit/api.js";

let api: TestApi;
beforeAll(async () => {
  api = await testApi();
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

const OURS = { "x-rotor-csrf": "1", "sec-fetch-site": "same-origin" };

const newKey = (scopes: Parameters<typeof createApiKey>[3] = ["read", "write"], expiresAt: Date | null = null) =>
  createApiKey(api.database.db, "default", "person", scopes, expiresAt);

const logIn = (key: string, headers: Record<string, string> = OURS) =>
  api.anonymous("POST", "/v1/session", { key }, headers);

/** What a browser sends back of the cookies it was given. */
const cookieOf = ({ headers }: { headers: Headers }): string => headers.get("set-cookie")!.split(";")[0]!;

async function loggedIn(scopes?: Parameters<typeof createApiKey>[3]) {
  const made = await newKey(scopes);
  const answer = await logIn(made.key);
  expect(answer.status).toBe(201);
  return { ...made, answer, cookie: cookieOf(answer) };
}

describe("a login", () => {
  test("is a cookie that no script reads and no other site sends, and may what its key may", async () => {
    const { answer, cookie, row } = await loggedIn();
    expect(answer.headers.get("set-cookie")).toMatch(
      /^rotor_session=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/,
    );
    expect(answer.json).toMatchObject({ workspace: "default", scopes: ["read", "write"], via: "session", dev: false });
    const who = await api.anonymous("GET", "/v1/session", undefined, { cookie });
    expect(who.json).toEqual(answer.json);
    expect(who.json.actor).toBe(`key:${row.id} person`);
    expect(Date.parse(who.json.expires_at) - Date.now()).toBeGreaterThan(limits.sessionMs - 60_000);
    expect((await api.anonymous("GET", "/v1/queues", undefined, { cookie })).status).toBe(200);
    expect((await api.anonymous("GET", "/v1/keys", undefined, { cookie })).status).toBe(403);
  });

  test("of an administrator says all that he may", async () => {
    const { answer } = await loggedIn(["admin"]);
    expect(answer.json.scopes).toEqual(["read", "write", "approve", "admin"]);
  });

  test("behind TLS has a cookie that no other host can set", async () => {
    const { key } = await newKey();
    const secure = await logIn(key, { "x-rotor-csrf": "1", origin: "https://rotor.test" });
    expect(secure.headers.get("set-cookie")).toMatch(/^__Host-rotor_session=\S+; Path=\/; HttpOnly; .*; Secure$/);
    const proxied = await logIn(key, { ...OURS, "x-forwarded-proto": "https" });
    expect(proxied.headers.get("set-cookie")).toMatch(/; Secure$/);
    expect((await api.anonymous("GET", "/v1/session", undefined, { cookie: cookieOf(secure) })).status).toBe(200);
  });

  test("is another at each time, and ends the one before it: nobody can be made to log in under a known one", async () => {
    const { key, cookie } = await loggedIn();
    const again = await logIn(key, { ...OURS, cookie });
    expect(cookieOf(again)).not.toBe(cookie);
    expect((await api.anonymous("GET", "/v1/session", undefined, { cookie })).status).toBe(401);
    const planted = `rotor_session=${"A".repeat(43)}`;
    const after = await logIn(key, { ...OURS, cookie: planted });
    expect(cookieOf(after)).not.toBe(planted);
    expect((await api.anonymous("GET", "/v1/session", undefined, { cookie: planted })).status).toBe(401);
  });

  test("is kept as a hash only", async () => {
    const { cookie } = await loggedIn();
    const { rows } = await api.database.db.script("select session::text as text from rotor.sessions session");
    const token = cookie.split("=")[1]!;
    expect(rows.length).toBeGreaterThan(0);
    for (const { text } of rows) {
      expect(text).not.toContain(token);
      expect(text).not.toContain(Buffer.from(token).toString("hex"));
    }
  });

  test("ends by logging out, and both cookies go", async () => {
    const { cookie } = await loggedIn();
    const out = await api.anonymous("DELETE", "/v1/session", undefined, { ...OURS, cookie });
    expect(out.status).toBe(204);
    expect(out.headers.getSetCookie().map((each) => each.replace(/; Path.*Max-Age=0/, ""))).toEqual([
      "rotor_session=",
      "__Host-rotor_session=; Secure",
    ]);
    expect((await api.anonymous("GET", "/v1/queues", undefined, { cookie })).status).toBe(401);
    expect((await api.anonymous("DELETE", "/v1/session", undefined, OURS)).status).toBe(204);
  });

  test("ends at once when its key is revoked", async () => {
    const { cookie, row } = await loggedIn();
    const admin = await api.as("default", ["admin"]);
    expect((await admin("DELETE", `/v1/keys/${row.id}`)).status).toBe(204);
    expect((await api.anonymous("GET", "/v1/queues", undefined, { cookie })).status).toBe(401);
  });

  test("is followed no longer than it is good", async () => {
    const { cookie, row } = await loggedIn();
    const response = await api.app.request("http://rotor.test/v1/stream", { headers: { cookie } });
    const reader = response.body!.getReader();
    expect((await reader.read()).done).toBe(false);
    const admin = await api.as("default", ["admin"]);
    await admin("DELETE", `/v1/keys/${row.id}`);
    const endsAt = performance.now() + 3 * limits.keyTrustedMs;
    for (let done = false; !done; ) {
      expect(performance.now()).toBeLessThan(endsAt);
      ({ done } = await reader.read());
    }
  });

  test("ends by itself, and with its key where that ends sooner", async () => {
    const own = await testApi();
    const soon = await createApiKey(own.database.db, "default", "soon", ["read"], new Date(Date.now() + 600_000));
    const long = await createApiKey(own.database.db, "default", "long", ["read"]);
    const enter = (key: string) => own.anonymous("POST", "/v1/session", { key }, OURS);
    const cookies = [cookieOf(await enter(soon.key)), cookieOf(await enter(long.key))];
    const statuses = async () => {
      const answers = cookies.map((cookie) => own.anonymous("GET", "/v1/session", undefined, { cookie }));
      return (await Promise.all(answers)).map((answer) => answer.status);
    };
    expect(await statuses()).toEqual([200, 200]);
    await own.database.shiftClock(660_000);
    expect(await statuses()).toEqual([401, 200]);
    await own.database.shiftClock(limits.sessionMs + 1_000);
    expect(await statuses()).toEqual([401, 401]);
    expect((await enter(soon.key)).status).toBe(401);
    await own.close();
  });

  test("is written into the audit", async () => {
    const { row } = await loggedIn();
    const admin = await api.as("default", ["admin"]);
    const { data } = (await admin("GET", "/v1/audit?action=session.create&limit=1")).json;
    expect(data[0]).toMatchObject({ actor: `key:${row.id} person`, subject: row.id });
  });
});

describe("what changes something under a login", () => {
  test.each<[string, Record<string, string>]>([
    ["without the page's own header", { "sec-fetch-site": "same-origin", origin: "http://rotor.test" }],
    ["of another site", { "x-rotor-csrf": "1", "sec-fetch-site": "cross-site" }],
    ["of a neighbouring host", { "x-rotor-csrf": "1", "sec-fetch-site": "same-site" }],
    ["that was typed into the address bar", { "x-rotor-csrf": "1", "sec-fetch-site": "none" }],
    ["of another origin, in an old browser", { "x-rotor-csrf": "1", origin: "http://evil.example" }],
    ["of a page without origin", { "x-rotor-csrf": "1", origin: "null" }],
    ["that does not say where it comes from", { "x-rotor-csrf": "1" }],
    ["of a host that begins like ours", { "x-rotor-csrf": "1", origin: "http://rotor.test.evil.example" }],
  ])("is refused to a request %s", async (_, headers) => {
    const { cookie, key } = await loggedIn();
    const put = await api.anonymous("PUT", "/v1/queues/forged", {}, { ...headers, cookie });
    expect([put.status, put.json.error.code]).toEqual([403, "csrf"]);
    expect((await logIn(key, headers)).status).toBe(403);
    expect((await api.anonymous("DELETE", "/v1/session", undefined, { ...headers, cookie })).status).toBe(403);
    expect((await api.anonymous("GET", "/v1/queues/forged", undefined, { cookie })).status).toBe(404);
    // The login is as it was.
    expect((await api.anonymous("GET", "/v1/session", undefined, { cookie })).status).toBe(200);
  });

  test.each<[string, Record<string, string>]>([
    ["in a browser that says so", OURS],
    ["in one that only names its origin", { "x-rotor-csrf": "1", origin: "http://rotor.test" }],
    ["behind a proxy, by the public URL", { "x-rotor-csrf": "1", origin: "http://127.0.0.1:7686" }],
  ])("is taken of our own page, %s", async (_, headers) => {
    const { cookie } = await loggedIn();
    const put = await api.anonymous("PUT", "/v1/queues/by-a-person", {}, { ...headers, host: "rotor.test", cookie });
    expect(put.status).toBeLessThan(300);
  });

  test("can be a job, either way that one is sent", async () => {
    const { cookie } = await loggedIn();
    await api.anonymous("PUT", "/v1/queues/by-a-person", {}, { ...OURS, cookie });
    const path = "/v1/queues/by-a-person/jobs";
    const text = { ...OURS, cookie, "content-type": "text/plain" };
    expect((await api.anonymous("POST", path, { payload: 1 }, { ...OURS, cookie })).status).toBe(201);
    expect((await api.anonymous("POST", path, "bytes", text)).status).toBe(201);
  });

  test("needs none of that with a key, as before", async () => {
    const { cookie, key } = await loggedIn();
    const headers = { authorization: `Bearer ${key}`, cookie, "sec-fetch-site": "cross-site" };
    expect((await api.anonymous("PUT", "/v1/queues/by-a-program", {}, headers)).status).toBe(201);
  });
});

describe("logging in", () => {
  test.each([
    ["nothing", ""],
    ["a password", "hunter2"],
    ["another scheme", "rt_ws_default_short"],
    ["a key with a NUL in it", `rt_ws_default_${"\u0001".repeat(43)}`],
    ["other letters", "ключ-от-всех-дверей-😀"],
    ["a megabyte", "x".repeat(900_000)],
  ])("with %s is refused at once", async (_, key) => {
    const own = createApp(api.engine);
    const answer = await own.request("http://rotor.test/v1/session", {
      method: "POST",
      headers: { ...OURS, "content-type": "application/json" },
      body: JSON.stringify({ key }),
    });
    expect([401, 422]).toContain(answer.status);
    expect(answer.headers.get("set-cookie")).toBeNull();
  });

  test("a thousand times with wrong keys is stopped after ten, for a minute, and says for how long", async () => {
    const own = createApp(api.engine);
    const { key } = await newKey();
    const enter = (text: string) =>
      own.request("http://rotor.test/v1/session", {
        method: "POST",
        headers: { ...OURS, "content-type": "application/json" },
        body: JSON.stringify({ key: text }),
      });
    const wrong = `rt_ws_default_${"w".repeat(43)}`;
    const statuses: number[] = [];
    for (let n = 0; n < 1_000; n++) statuses.push((await enter(wrong)).status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    const stopped = await enter(key);
    expect(stopped.status).toBe(429);
    expect(Number(stopped.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  test("with good keys is not counted", async () => {
    const { key } = await newKey();
    for (let n = 0; n < 30; n++) expect((await logIn(key)).status).toBe(201);
  });
});

test("in development a login is not needed on this machine, and one that is over is no hindrance", async () => {
  const dev = await testApi({ dev: true });
  const ask = (headers: Record<string, string>) =>
    dev.app.request("http://localhost:7686/v1/session", { headers: { host: "localhost:7686", ...headers } });
  expect(await (await ask({})).json()).toMatchObject({ via: "local", dev: true, actor: "local" });
  expect((await ask({ cookie: `rotor_session=${"B".repeat(43)}` })).status).toBe(200);
  expect((await ask({ origin: "http://evil.example" })).status).toBe(401);
  await dev.close();
});
