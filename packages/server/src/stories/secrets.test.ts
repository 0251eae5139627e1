/** Secrets in queues' URLs and headers: sent where they belong, and nowhere else to be found. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseKeys, seal } from "../core/seal.js";
import { createKeyring, secretContext } from "../store/keyring.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { afterDeliveries, delivered, enqueueTo } from "./testing-kit/delivered.js";

/** How a queue names it. */
const use = (name: string): string => `\${{ secrets.${name} }}`;

const VALUE = "tok/en+with&odd=chars 42";
const keys = parseKeys(Buffer.alloc(32, 7).toString("base64"));

let server: TestServer;
let seen: { url: string; headers: IncomingMessage["headers"]; body: string }[] = [];
let endpoint: string;
let logged = "";
const answers: string[] = [];

beforeAll(async () => {
  const write = (line: string): void => {
    logged += line;
  };
  server = await testServer({ ROTOR_LOG_LEVEL: "trace" }, { log: { write } });
  endpoint = await server.serve(async (request, response) => {
    seen.push({ url: request.url!, headers: request.headers, body: await text(request) });
    // A careless endpoint, that repeats in its answer what it was sent.
    const said = `${request.url} ${JSON.stringify(request.headers)}`;
    response.writeHead(request.url!.includes("fail") ? 500 : 200, { "x-you-sent": request.headers["x-token"] ?? "" });
    response.end(said);
  });
  await server.rotor.secrets.set("TOKEN", VALUE);
});
afterAll(() => server.close());

/** Whatever the API says about a path. */
const ask = async (path: string): Promise<string> => {
  const answer = await (await fetch(`${server.baseUrl}${path}`)).text();
  answers.push(answer);
  return answer;
};

/** An address where nobody listens any more. */
async function deadEnd(): Promise<string> {
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));
  return `http://127.0.0.1:${port}`;
}

test("a template in a header and in the URL is filled in when a job is delivered", async () => {
  seen = [];
  await server.rotor.secrets.set("PLAIN", "hook-4711-abc");
  const job = await delivered(server, `${endpoint}/in/${use("PLAIN")}?k=\${{secrets.PLAIN}}`, {
    headers: { "x-token": `Bearer ${use("TOKEN")}`, "x-other": "as it is" },
  });
  expect(job.state).toBe("completed");
  expect(seen[0]).toMatchObject({
    url: "/in/hook-4711-abc?k=hook-4711-abc",
    headers: { "x-token": `Bearer ${VALUE}`, "x-other": "as it is" },
  });
});

test("nowhere else is a template anything but text", async () => {
  seen = [];
  const literal = use("TOKEN");
  await delivered(server, endpoint, {}, { payload: { literal }, headers: { "x-mine": literal }, tags: [literal] });
  expect(seen[0]!.headers["x-mine"]).toBe(literal);
  expect(JSON.parse(seen[0]!.body)).toEqual({ literal });
});

test("a value is in no table, no log, no answer and no feed, though the endpoint repeats it", async () => {
  const feed = new AbortController();
  const stream = await fetch(`${server.baseUrl}/v1/stream`, { signal: feed.signal });
  const told = (async () => {
    let text = "";
    const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: "" }));
      if (done) return text;
      text += value;
    }
  })();
  const headers = { "x-token": use("TOKEN") };
  const nobody = await deadEnd();
  const good = await delivered(server, `${endpoint}/good`, { headers });
  const bad = await delivered(server, `${endpoint}/fail?t=${use("PLAIN")}`, {
    headers,
    retry: { maxAttempts: 1 },
  });
  await delivered(server, `${nobody}/${use("PLAIN")}`, { headers });
  expect(good.output).toContain("…");
  expect(bad).toMatchObject({ state: "failed", error: { name: "HttpError" } });
  expect(bad.error!.message).toContain("…");
  for (const path of ["/v1/queues", "/v1/dlq", "/v1/secrets", "/v1/audit", `/v1/queues/${bad.queue}/jobs`])
    await ask(path);
  await ask(`/v1/queues/${bad.queue}/jobs/${bad.id}`);
  await ask(`/v1/queues/${good.queue}/jobs/${good.id}`);
  feed.abort();

  const tables = await server.db.script(
    `select table_name as name from information_schema.tables where table_schema = '${server.schema}'`,
  );
  const rows = await Promise.all(
    tables.rows.map(({ name }) => server.db.script(`select all_of_it::text as text from rotor.${name} all_of_it`)),
  );
  const stored = JSON.stringify(rows.map((result) => result.rows));
  expect(stored).toContain("HttpError");
  const everywhere = { stored, logged, answers: answers.join("\n"), told: await told };
  for (const [where, text] of Object.entries(everywhere)) {
    for (const value of [VALUE, JSON.stringify(VALUE).slice(1, -1), encodeURIComponent(VALUE), "hook-4711-abc"])
      expect(text.includes(value), `${value} in ${where}`).toBe(false);
  }
});

describe("a queue is refused", () => {
  const refused = (options: object) =>
    server.rotor.queues.create("refused", options).then(
      () => "made",
      (error: Error) => error.message,
    );

  test("for a secret that there is not, by its name", async () => {
    expect(await refused({ callbackUrl: `${endpoint}/${use("NO_SUCH")}` })).toMatch(
      /^callback_url: there is no secret NO_SUCH: set it with .*`rotor secrets set NO_SUCH`/,
    );
    expect(await refused({ headers: { "X-A": use("NO_SUCH") } })).toMatch(/^headers\.X-A: .*NO_SUCH/);
  });

  test.each([" env.HOME }}", " secrets.1X }}", " secrets.TOKEN", "secrets}}"])(
    "for ${{%s, which is no template",
    async (rest) => {
      expect(await refused({ headers: { "x-a": `\${{${rest}` } })).toMatch(
        /is no template: write \$\{\{ secrets\.NAME \}\}/,
      );
    },
  );

  test("for a URL that is none once it is filled in, without its value", async () => {
    await server.rotor.secrets.set("INTERNAL", "http://169.254.169.254/latest");
    const message = await refused({ callbackUrl: use("INTERNAL") });
    expect(message).toMatch(/^callback_url: 169\.254\.169\.254 is a metadata address/);
    expect(await refused({ callbackUrl: `${endpoint}/${use("TOKEN")}` })).not.toContain(VALUE);
  });
});

describe("a secret is refused", () => {
  test.each([
    ["with a line break", "X_TOKEN", "secret\r\nx-admin: 1"],
    ["that is too short to be one", "X_TOKEN", "1234567"],
    ["that no header can carry", "X_TOKEN", "geheimnisvölle"],
    ["whose name is none", "X-TOKEN", "a-good-value"],
  ])("%s", async (_, name, value) => {
    const error: Error = await server.rotor.secrets.set(name, value).then(
      () => new Error("set"),
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ status: 422 });
    expect(error.message).not.toContain(value);
  });
});

describe("an attempt fails, and says why", () => {
  test("when its secret was deleted meanwhile; set again, the next one is delivered", async () => {
    await server.rotor.secrets.set("SHORT_LIVED", "here-today");
    const headers = { "x-token": use("SHORT_LIVED") };
    const job = await enqueueTo(server, endpoint, { headers, retry: { backoff: ["1ms"], jitter: "none" } });
    await afterDeliveries(server, job);
    await server.rotor.secrets.delete("SHORT_LIVED");
    const { id } = await server.rotor.jobs.enqueue(job.queue);
    const failed = await afterDeliveries(server, { queue: job.queue, id });
    expect(failed.deliveries![0]!.error).toMatchObject({ name: "UnknownSecretError" });
    expect(failed.deliveries![0]!.error!.message).toMatch(
      /uses the secret SHORT_LIVED, .*`rotor secrets set SHORT_LIVED`/,
    );
    await server.rotor.secrets.set("SHORT_LIVED", "here-again");
    await eventually("the job", async () => (await server.rotor.jobs.get(job.queue, id)).state === "completed");
    expect(seen.at(-1)!.headers["x-token"]).toBe("here-again");
  });

  test("when its header would hold a line break, whoever stored it", async () => {
    await server.rotor.secrets.set("SPLIT", "harmless-value");
    const job = await enqueueTo(server, endpoint, { headers: { "x-token": use("SPLIT") } });
    await afterDeliveries(server, job);
    const value = "split\r\nx-admin: 1";
    await createKeyring(server.db, keys).putSecret("default", "SPLIT", value, true);
    // Remembered for seconds on the server: something of its workspace that changes makes it look again.
    await server.rotor.secrets.delete("PLAIN");
    const { id } = await server.rotor.jobs.enqueue(job.queue);
    const { deliveries } = await afterDeliveries(server, { queue: job.queue, id });
    expect(deliveries![0]!.error).toMatchObject({
      name: "InvalidHeaderError",
      message: "With its secrets filled in, the header x-token holds a line break, a control or a non-ASCII character.",
    });
  });

  test("when the address that it is filled in with may not be reached any more", async () => {
    await server.rotor.secrets.set("HOST", new URL(endpoint).host);
    const job = await enqueueTo(server, `http://${use("HOST")}/x`);
    expect((await afterDeliveries(server, job)).state).toBe("completed");
    await server.rotor.secrets.set("HOST", "169.254.169.254:8080");
    const { id } = await server.rotor.jobs.enqueue(job.queue);
    const { deliveries } = await afterDeliveries(server, { queue: job.queue, id });
    expect(deliveries![0]!.error!.message).toMatch(/169\.254\.169\.254 .*ROTOR_ALLOW_PRIVATE_URLS does not open/);
  });
});

test("a sealed value opens in its own row only", async () => {
  const keyring = createKeyring(server.db, keys);
  const move = (workspace: string, name: string) =>
    server.db.script(
      `insert into rotor.secrets (workspace_id, name, sealed) values ('${workspace}', '${name}', '${seal(keys, VALUE, secretContext("default", "TOKEN"))}')`,
    );
  await keyring.createWorkspace("stranger", "Stranger", "unused");
  await move("default", "MOVED");
  await move("stranger", "TOKEN");
  expect((await keyring.secretValues("default", ["TOKEN"])).get("TOKEN")).toBe(VALUE);
  await expect(keyring.secretValues("default", ["MOVED"])).rejects.toThrow(
    /does not open: .*another workspace or name/,
  );
  await expect(keyring.secretValues("stranger", ["TOKEN"])).rejects.toThrow(/does not open/);
  await server.db.script("delete from rotor.secrets where name = 'MOVED' or workspace_id = 'stranger'");
});
