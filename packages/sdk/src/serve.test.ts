import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import type { RotorFunction } from "./function.js";
import { createFunction } from "./function.js";
import type { Manifest } from "./protocol.js";
import { DEVELOPMENT_SIGNING_KEY, manifestContext } from "./protocol.js";
import { workflowHandler } from "./serve.js";
import { signRotor, verifyAnswer } from "./signature.js";
import { KEY, type PeerOptions, startPeer } from "./testing-kit/peer.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const close of closers.splice(0)) await close();
});

const URL_OF_APP = "http://app.test/api/rotor";
const NONCE = "0123456789abcdef0123456789abcdef";
const now = () => Math.floor(Date.now() / 1000);
const hello = createFunction({ id: "hello", trigger: { event: "greeted" }, retries: 1 }, ({ event }) => event.data);

async function peerWith(functions: RotorFunction[], options?: PeerOptions) {
  const peer = await startPeer(functions, options);
  closers.push(peer.close);
  return peer;
}

const introspection = (secret: string, nonce = NONCE) =>
  new Request(URL_OF_APP, { headers: { "x-rotor-signature": signRotor("", secret, now()), "x-rotor-nonce": nonce } });

test("introspection answers a signed manifest whose hash changes with the list", async () => {
  const other = createFunction(
    { id: "other", trigger: [{ cron: "0 9 * * *", timezone: "Europe/Stockholm" }] },
    () => 1,
  );
  const hashes: string[] = [];
  for (const functions of [[hello], [hello, other]]) {
    const response = await workflowHandler({ functions, signingKey: ["whsec_old", KEY], app: "shop" })(
      introspection(KEY),
    );
    const signed = verifyAnswer(await response.text(), manifestContext(NONCE), KEY);
    const manifest = JSON.parse(signed!.json) as Manifest;
    expect(manifest).toMatchObject({ version: 1, app: "shop", dev: false });
    expect(manifest.functions[0]).toEqual({
      id: "hello",
      triggers: [{ event: "greeted" }],
      max_attempts: 2,
      concurrency: 100,
    });
    hashes.push(manifest.hash);
  }
  expect(new Set(hashes).size).toBe(2);
});

test("a request without a good signature is refused before anything else is looked at", async () => {
  const peer = await peerWith([hello]);
  const body = JSON.stringify(peer.request(peer.create("hello")));
  const bad = [
    {},
    { "x-rotor-signature": signRotor(body, "whsec_other", now()) },
    { "x-rotor-signature": signRotor(body, KEY, now() - 400) },
  ];
  for (const headers of bad) expect((await peer.post(body, headers as Record<string, string>)).status).toBe(401);
  expect((await peer.post("no json", {})).status).toBe(401);
  expect((await workflowHandler({ functions: [hello], signingKey: KEY })(introspection("whsec_other"))).status).toBe(
    401,
  );
});

test("an app without a key says so at the first request, not at import", async () => {
  vi.stubEnv("ROTOR_SIGNING_KEY", "");
  const handler = workflowHandler({ functions: [hello] });
  const response = await handler(introspection(KEY));
  expect([response.status, await response.json()]).toMatchObject([
    500,
    { error: { code: "no_signing_key", message: expect.stringContaining("set ROTOR_SIGNING_KEY") } },
  ]);
  vi.stubEnv("ROTOR_SIGNING_KEY", KEY);
  expect((await handler(introspection(KEY))).status).toBe(200);
  expect((await handler(introspection("whsec_of_env"), { ROTOR_SIGNING_KEY: "whsec_of_env" })).status).toBe(200);
});

test("the development key is used when asked for, and never in production", async () => {
  const handler = workflowHandler({ functions: [hello], dev: true });
  const response = await handler(introspection(DEVELOPMENT_SIGNING_KEY));
  const signed = verifyAnswer(await response.text(), manifestContext(NONCE), DEVELOPMENT_SIGNING_KEY);
  expect(JSON.parse(signed!.json)).toMatchObject({ dev: true });
  vi.stubEnv("NODE_ENV", "production");
  expect((await handler(introspection(DEVELOPMENT_SIGNING_KEY))).status).toBe(500);
});

test("an unknown function or another app's is 404, another version 500, a huge body 413, another method 405", async () => {
  const peer = await peerWith([hello]);
  const asked = peer.request(peer.create("hello"));
  const statusOf = async (change: object) => (await peer.post(JSON.stringify({ ...asked, ...change }))).status;
  expect(await statusOf({ function: "nope" })).toBe(404);
  expect(await statusOf({ app: "shop" })).toBe(404);
  expect(await statusOf({ version: 99 })).toBe(500);
  expect((await peer.post("x".repeat(6 * 1024 * 1024))).status).toBe(413);
  expect((await peer.handler(new Request(URL_OF_APP, { method: "DELETE" }))).status).toBe(405);
});

test("two functions of one id are refused when the handler is made", () => {
  expect(() => workflowHandler({ functions: [hello, hello] })).toThrow('Two functions have the id "hello"');
});

test("a platform that cannot stream gets one plain answer", async () => {
  const slow = createFunction({ id: "slow" }, () => new Promise((resolve) => setTimeout(resolve, 20, "late")));
  const peer = await peerWith([slow], { streaming: false, timing: { plainWithinMs: 1 } });
  const response = await peer.post(JSON.stringify(peer.request(peer.create("slow"))));
  expect(await response.text()).toMatch(/^rotor-signature t=/);
});

test("near the end of maxDuration no new step starts and the answer is `yield`", async () => {
  const endless = createFunction({ id: "endless" }, async ({ step }) => {
    for (;;) await step.run("a", () => new Promise((resolve) => setTimeout(resolve, 5)));
  });
  const peer = await peerWith([endless], { maxDuration: "60ms" });
  expect(await peer.deliver(peer.create("endless"))).toMatchObject({ status: "yield", reports: [] });
});

test("the app's own ROTOR_BASE_URL is where checkpoints go", async () => {
  const one = createFunction({ id: "one" }, ({ step }) => step.run("a", () => 1));
  const peer = await peerWith([one]);
  vi.stubEnv("ROTOR_BASE_URL", new URL(peer.url).origin);
  peer.url = "http://rotor.invalid/v1/checkpoints";
  expect(await peer.deliver(peer.create("one"))).toMatchObject({ status: "completed", output: 1 });
});

test("PUT registers the app at its server, with its key, and hands on the answer", async () => {
  const seen: unknown[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    seen.push([request.method, request.url, request.headers.authorization, JSON.parse(body)]);
    response.writeHead(409).end('{"error":{"code":"app_elsewhere"}}');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  const env = {
    ROTOR_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    ROTOR_API_KEY: "rt_ws_x",
  };
  const response = await workflowHandler({ functions: [hello] })(
    new Request(`${URL_OF_APP}?x=1`, { method: "PUT" }),
    env,
  );
  expect([response.status, await response.json()]).toEqual([409, { error: { code: "app_elsewhere" } }]);
  expect(seen).toEqual([["POST", "/v1/functions/sync", "Bearer rt_ws_x", { url: URL_OF_APP }]]);
});
