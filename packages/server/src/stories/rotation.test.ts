/** Keys change while the system works, and nobody is turned away: what signs, what opens the API, what seals. */
import { text } from "node:stream/consumers";
import { newSecret, Rotor, verifyRotorSignature } from "@rotorsh/sdk";
import { DEVELOPMENT_SIGNING_KEY } from "@rotorsh/sdk/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reseal } from "../admin.js";
import { readConfig } from "../config.js";
import { startRotor } from "../main.js";
import { eventually, type TestServer, testConfig, testServer } from "../testing-kit/server.js";
import { delivered } from "./testing-kit/delivered.js";

let server: TestServer;
/** Of a key that another node trusted when it was revoked here. Begun first, since it takes seconds of nothing. */
let refusedElsewhere: Promise<unknown>;

beforeAll(async () => {
  server = await testServer();
  // With the same settings: it delivers too, and one that may not reach loopback would fail jobs of other tests here.
  const other = await startRotor(testConfig(server));
  const { key, id } = await server.rotor.keys.create();
  const there = new Rotor({ apiKey: key, baseUrl: other.url });
  await there.queues.list().page();
  await server.rotor.keys.revoke(id);
  const refused = () =>
    there.queues
      .list()
      .page()
      .then(() => false)
      .catch(() => true);
  refusedElsewhere = eventually("the other node's refusal", refused, 6_000).finally(() => other.stop());
  // Awaited by its test, which may come later.
  refusedElsewhere.catch(() => undefined);
});
afterAll(() => server.close());

/** Verifies with the secret that it has at the moment, and counts. */
async function verifier(first: string) {
  const seen = { secret: first, accepted: 0, rejected: 0, active: 0 };
  const url = await server.serve(async (request, response) => {
    const body = await text(request);
    const header = request.headers["x-rotor-signature"] as string;
    const good = verifyRotorSignature(body, header, seen.secret);
    if (good) seen.accepted++;
    else seen.rejected++;
    seen.active = header.split("v1=").length - 1;
    response.writeHead(good ? 200 : 401).end();
  });
  return { seen, url };
}

test("a thousand deliveries by two nodes over a rotation: an endpoint that learns of it in the middle rejects none", async () => {
  const { seen, url } = await verifier(DEVELOPMENT_SIGNING_KEY);
  await server.rotor.queues.create("many", { callbackUrl: url, concurrency: 50 });
  const jobs = Array.from({ length: 1_000 }, (_, n) => ({ payload: n }));
  await server.rotor.jobs.enqueueBatch("many", jobs.slice(0, 500));
  await eventually("some deliveries", () => seen.accepted > 100);
  const { secret } = await server.rotor.keys.rotateSigning();
  // Whoever verifies has not heard of it yet.
  await server.rotor.jobs.enqueueBatch("many", jobs.slice(500));
  await eventually("deliveries under both", () => seen.accepted > 600);
  seen.secret = secret;
  await eventually("all", () => seen.accepted + seen.rejected >= 1_000);
  expect(seen).toMatchObject({ accepted: 1_000, rejected: 0, active: 2 });
});

describe("a queue's own secret", () => {
  test("signs in place of the workspace's key, and is never shown", async () => {
    const own = newSecret();
    const { seen, url } = await verifier(own);
    const job = await delivered(server, url, { secret: own });
    expect([job.state, seen.active]).toEqual(["completed", 1]);
    const { queue } = job;
    expect(JSON.stringify(await server.rotor.queues.get(queue))).not.toContain(own);
    expect(await server.rotor.queues.get(queue)).toMatchObject({ hasSecret: true });
    // Said again, it is the same secret.
    await server.rotor.queues.put(queue, { secret: own });
    await server.rotor.jobs.enqueue(queue);
    await eventually("the second", () => seen.accepted === 2);
    expect(seen.active).toBe(1);
  });

  test("is made by us on request, rotates, and can be given up; each time both sign for a while", async () => {
    const { seen, url } = await verifier(DEVELOPMENT_SIGNING_KEY);
    await server.rotor.queues.create("own", { callbackUrl: url });
    const next = async (secret: string): Promise<void> => {
      seen.secret = secret;
      const before = seen.accepted;
      await server.rotor.jobs.enqueue("own");
      await eventually("a delivery", () => seen.accepted + seen.rejected > before);
      expect(seen).toMatchObject({ accepted: before + 1, rejected: 0 });
    };
    const first = (await server.rotor.keys.rotateSigning({ queue: "own" })).secret;
    await next(first);
    const second = (await server.rotor.keys.rotateSigning({ queue: "own", overlap: "1h" })).secret;
    await next(first);
    await next(second);
    await server.rotor.queues.update("own", { secret: null });
    expect(await server.rotor.queues.get("own")).toMatchObject({ hasSecret: false });
    await next(second);
    await next(DEVELOPMENT_SIGNING_KEY);
  });

  test.each(["whsec_short", "x".repeat(50), ""])("is refused where it is none: %j", async (secret) => {
    await expect(server.rotor.queues.create("none", { secret })).rejects.toThrow(/secret: write whsec_/);
  });

  test("more of them at once than a header should hold are refused, and an overlap of nothing helps", async () => {
    await server.rotor.queues.create("often");
    for (let n = 0; n < 5; n++) await server.rotor.keys.rotateSigning({ queue: "often" });
    await expect(server.rotor.keys.rotateSigning({ queue: "often" })).rejects.toMatchObject({ status: 409 });
    await server.rotor.keys.rotateSigning({ queue: "often", overlap: "0s" });
    await expect(server.rotor.keys.rotateSigning({ queue: "missing" })).rejects.toMatchObject({ status: 404 });
  });
});

describe("an API key", () => {
  const as = (apiKey: string) => new Rotor({ apiKey, baseUrl: server.baseUrl });
  const works = (apiKey: string): Promise<boolean> =>
    as(apiKey)
      .queues.list()
      .page()
      .then(
        () => true,
        () => false,
      );

  test("is rotated: the old one goes on for the overlap, the new one has its scopes", async () => {
    const old = await server.rotor.keys.create({ name: "ci", scopes: ["read"] });
    const made = await server.rotor.keys.rotate(old.id, { overlap: "1h" });
    expect(made).toMatchObject({ name: "ci", scopes: ["read"], expiresAt: null });
    expect([await works(old.key), await works(made.key)]).toEqual([true, true]);
    await server.rotor.keys.rotate(made.id, { overlap: "0s" });
    expect(await works(made.key)).toBe(false);
    await expect(server.rotor.keys.rotate(made.id)).rejects.toMatchObject({ status: 409 });
  });

  test("cannot be rotated by one that may less", async () => {
    const strong = await server.rotor.keys.create({ scopes: ["admin", "workspaces"] });
    const weak = await server.rotor.keys.create({ scopes: ["admin"] });
    await expect(as(weak.key).keys.rotate(strong.id)).rejects.toMatchObject({ status: 403 });
    await server.rotor.keys.revoke(weak.id);
    expect(await works(weak.key)).toBe(false);
  });

  test("that is revoked on one node is refused by another within its 5 seconds", async () => {
    await refusedElsewhere;
  });
});

const oldKey = Buffer.alloc(32, 7).toString("base64");
const newKey = Buffer.alloc(32, 8).toString("base64");
const configOf = (encryptionKeys = oldKey) =>
  readConfig(
    {
      DATABASE_URL: server.url,
      ROTOR_SCHEMA: server.schema,
      ROTOR_ENCRYPTION_KEYS: encryptionKeys,
      ROTOR_LOG_LEVEL: "fatal",
      ROTOR_ENVIRONMENT: "development",
    },
    { mode: "start", port: 0 },
  );

test("encryption keys are rotated: the new one first, all sealed again, the old one gone", async () => {
  const schema = `${server.schema}_sealed`;
  const config = (keys: string) => ({ ...configOf(keys), schema, allowPrivateUrls: "loopback" });
  const { seen, url } = await verifier("");
  const key = `rt_ws_default_${Buffer.alloc(32, 5).toString("base64url")}`;
  const run = async (keys: string, work: (rotor: Rotor) => Promise<unknown>): Promise<void> => {
    const started = await startRotor({ ...config(keys), bootstrapKey: key });
    await work(new Rotor({ baseUrl: started.url, apiKey: key })).finally(() => started.stop());
  };
  try {
    await run(oldKey, async (rotor) => {
      seen.secret = (await rotor.keys.rotateSigning()).secret;
      await rotor.secrets.set("TOKEN", "a-secret-value");
      await rotor.queues.create("q", { callbackUrl: url, headers: { "x-token": `\${{ secrets.TOKEN }}` } });
    });
    const works = async (rotor: Rotor): Promise<void> => {
      const before = seen.accepted;
      await rotor.jobs.enqueue("q");
      await eventually("a delivery", () => seen.accepted > before);
    };
    await expect(run(newKey, works)).rejects.toThrow(/Sealed with the encryption key/);
    await run(`${newKey},${oldKey}`, works);
    // The token secret, the first signing key, the one after it, the secret.
    expect(await reseal(config(`${newKey},${oldKey}`))).toBe(4);
    expect(await reseal(config(`${newKey},${oldKey}`))).toBe(0);
    await run(newKey, works);
    expect(seen.rejected).toBe(0);
  } finally {
    await server.db.script(`drop schema if exists ${schema} cascade`);
  }
});
