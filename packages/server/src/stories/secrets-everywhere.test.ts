/**
 * Every kind of secret that a server has, in use and in the wrong places, on a server that logs all it can; then whatever is
 * stored, logged or answered is searched for each of them, in each form in which it could stand there. What templates of
 * secrets do is `secrets.test.ts`.
 */
import { randomBytes } from "node:crypto";
import { newSecret, verifyRotorSignature } from "@rotorsh/sdk/signature";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRotor } from "../main.js";
import { eventually, testConfig } from "../testing-kit/server.js";
import { type Asked, type StrictServer, strictServer } from "./testing-kit/strict-server.js";

const random = (): string => randomBytes(24).toString("base64url");

const ENCRYPTION = randomBytes(32).toString("base64");
const BOOTSTRAP = `rt_ws_default_${randomBytes(32).toString("base64url")}`;

let server: StrictServer;
/** By what it is. */
const secrets: Record<string, string> = {};
const answers: string[] = [];

beforeAll(async () => {
  server = await strictServer({ ROTOR_ENCRYPTION_KEYS: ENCRYPTION, ROTOR_BOOTSTRAP_KEY: BOOTSTRAP });
});
afterAll(() => server.close());

/** Asks, and keeps the answer for the search. */
async function ask(asked: Asked) {
  const reply = await server.ask(asked);
  answers.push(`${asked.method ?? "GET"} ${asked.path.slice(0, 40)} ${JSON.stringify(reply.headers)} ${reply.text}`);
  return reply;
}

/** Asks for what is shown once: the answer is not searched. */
const askOnce = (asked: Asked) => server.ask(asked);

/** How a text may stand in another. */
const forms = (secret: string): string[] => {
  const bytes = Buffer.from(secret);
  return [
    ...new Set([
      secret,
      JSON.stringify(secret).slice(1, -1),
      encodeURIComponent(secret),
      bytes.toString("base64").replace(/=+$/, ""),
      bytes.toString("base64url"),
      bytes.toString("hex"),
      // What of a key is the secret, without what says what it is.
      secret.replace(/^(?:whsec_|rt_ws_[a-z]+_)/, ""),
    ]),
  ];
};

test("a secret stands in no table, no line of the log and no answer but the one that made it", async () => {
  const { rotor } = server;
  Object.assign(secrets, { encryption: ENCRYPTION, bootstrap: BOOTSTRAP, key: server.key, signing: server.signingKey });

  // Made, in use.
  secrets.value = random();
  await ask({ path: "/v1/secrets", body: { name: "TOKEN", value: secrets.value } });
  secrets.queueSecret = newSecret();
  const seen: string[] = [];
  const endpoint = await server.serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const signature = String(request.headers["x-rotor-signature"]);
    if (request.url!.startsWith("/own")) expect(verifyRotorSignature(body, signature, secrets.queueSecret)).toBe(true);
    seen.push(String(request.headers["x-rotor-complete-url"]));
    // A careless endpoint: it repeats all that it was sent, in head and body.
    response.writeHead(request.url!.includes("fail") ? 500 : request.url!.includes("async") ? 202 : 200, {
      "x-rotor-async": "true",
      "x-echo": `${request.headers["x-token"]} ${request.headers["x-rotor-complete-url"]}`,
    });
    response.end(`${request.url} ${JSON.stringify(request.headers)}`);
  });
  const headers = { "x-token": `Bearer ${"$"}{{ secrets.TOKEN }}` };
  const once = { retry: { maxAttempts: 1 } };
  await rotor.queues.create("own", { callbackUrl: `${endpoint}/own`, secret: secrets.queueSecret, headers, ...once });
  await rotor.queues.create("fail", { callbackUrl: `${endpoint}/fail?t=${"$"}{{ secrets.TOKEN }}`, headers, ...once });
  await rotor.queues.create("async", { callbackUrl: `${endpoint}/async`, headers, ...once });
  const made = await askOnce({ path: "/v1/keys", body: { name: "made", scopes: ["read"] } });
  secrets.madeKey = made.json.key;
  const rotated = await askOnce({ path: `/v1/keys/${made.json.id}/rotate`, body: { overlap: "1h" } });
  secrets.rotatedKey = rotated.json.key;
  const hook = await askOnce({ path: "/v1/webhooks", body: { name: "hook", url: `${endpoint}/hook`, types: ["*"] } });
  secrets.webhook = hook.json.secret;
  const signing = await askOnce({ path: "/v1/keys/rotate-signing", body: { queue: "fail" } });
  for (const value of Object.values(signing.json))
    if (typeof value === "string" && value.startsWith("whsec_")) secrets.rotatedSigning = value;
  const workspace = await askOnce({ path: "/v1/workspaces", body: { id: "third" } });
  for (const [name, value] of Object.entries(workspace.json))
    if (/^(?:whsec|rt_ws)_/.test(String(value))) secrets[`workspace ${name}`] = String(value);
  const login = await askOnce({
    path: "/v1/session",
    body: { key: server.key },
    key: null,
    headers: { "x-rotor-csrf": "1", "sec-fetch-site": "same-origin" },
  });
  secrets.session = /=([A-Za-z0-9_-]{43});/.exec(String(login.headers["set-cookie"]))![1]!;
  await ask({ path: "/v1/session", key: null, headers: { cookie: `rotor_session=${secrets.session}` } });
  const link = await askOnce({ path: "/v1/signals/sig/links", body: { expires: "1d" } });
  secrets.link = (link.json.url as string).split("/").at(-1)!.split(".")[1]!;

  const refs: { readonly queue: string; readonly id: string }[] = [];
  for (const queue of ["own", "fail", "async"]) refs.push(await rotor.jobs.enqueue(queue, { payload: { n: 1 } }));
  await eventually("the deliveries", async () => seen.filter((url) => url.startsWith("http")).length >= 3);
  secrets.capability = new URL(seen.find((url) => url.includes(refs[2]!.id))!).searchParams
    .get("token")!
    .split(".")[2]!;

  // In the wrong places: paths, queries, bodies that are no JSON, other headers.
  for (const secret of Object.values(secrets)) {
    const text = encodeURIComponent(secret);
    await askOnce({ path: `/v1/queues?key=${text}` });
    await askOnce({ path: `/v1/nothing`, headers: { authorization: `Basic ${text}` } });
    await ask({ path: "/v1/queues/own/jobs", body: `{"payload": ${secret}` });
    await ask({ path: "/v1/queues/own/jobs", body: secret });
    await ask({ path: "/v1/queues", key: `${secret}x` });
    await ask({ path: "/v1/queues", body: { name: "x", secret: `${secret}!` } });
  }
  // A fault of ours, with all of them in hand.
  await server.db.script("alter table rotor.secrets rename to secrets_away");
  const wrong = await ask({ path: "/v1/secrets/TOKEN", method: "PUT", body: { value: secrets.value } });
  await server.db.script("alter table rotor.secrets_away rename to secrets");
  expect([wrong.status, server.logged().includes("a request failed")]).toEqual([500, true]);

  // Whatever can be read.
  const { json: document } = await server.ask({ path: "/doc" });
  const names: Record<string, string> = { name: "own", id: refs[0]!.id, key: "none", token: "none" };
  for (const [path, methods] of Object.entries(document.paths as Record<string, object>)) {
    if (!("get" in methods) || path === "/v1/stream" || path === "/sdk.tgz") continue;
    await ask({ path: path.replaceAll(/\{(\w+)\}/g, (_, name) => names[name] ?? "own") });
  }
  for (const { queue, id } of refs) await ask({ path: `/v1/queues/${queue}/jobs/${id}` });
  for (const path of ["/v1/webhooks/hook", "/v1/webhooks/hook/deliveries", "/v1/audit?format=csv", "/v1/queues/fail"])
    await ask({ path });

  const everywhere = {
    tables: (await server.everything()).join("\n"),
    log: server.logged(),
    answers: answers.join("\n"),
  };
  expect(Object.keys(secrets).length).toBeGreaterThanOrEqual(13);
  const found = Object.entries(secrets).flatMap(([name, secret]) =>
    Object.entries(everywhere).flatMap(([where, text]) =>
      forms(secret)
        .filter((form) => form.length >= 16 && text.includes(form))
        .map((form) => {
          const at = text.indexOf(form);
          return `${name} in the ${where}: …${text.slice(Math.max(0, at - 120), at + 20)}`;
        }),
    ),
  );
  expect(found).toEqual([]);
  // It was searched for where it could have been.
  expect(everywhere.tables).toContain("secrets.TOKEN");
  expect(everywhere.answers).toContain("HttpError");
});

test("a server that cannot reach its database says so without the password", async () => {
  const password = random();
  let log = "";
  const { databaseUrl: _, ...config } = testConfig(server);
  const failed = await startRotor(
    { ...config, logLevel: "trace", databaseUrl: `postgres://rotor:${password}@127.0.0.1:1/rotor` },
    {
      log: {
        write: (line) => {
          log += line;
        },
      },
    },
  ).then(
    () => undefined,
    (error: Error) => error,
  );
  expect(failed).toBeInstanceOf(Error);
  expect(`${log} ${failed!.message} ${failed!.stack} ${JSON.stringify(failed)}`).not.toContain(password);
});
