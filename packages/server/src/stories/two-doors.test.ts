/** The plain door and the router's answer alike: the same requests, with their length said and in pieces of unsaid length. */
import { Agent, request } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createApiKey } from "../http/auth.js";
import { type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
let key: string;
let readOnly: string;
beforeAll(async () => {
  server = await testServer();
  await server.rotor.queues.create("mail", { callbackUrl: "http://127.0.0.1:9999/mail" });
  await server.rotor.queues.pause("mail");
  key = (await createApiKey(server.db, "default", "writer", ["write"])).key;
  readOnly = (await createApiKey(server.db, "default", "reader", ["read"])).key;
});
afterAll(async () => {
  agent.destroy();
  await server.close();
});

type Answer = { status: number; headers: Record<string, unknown>; body: unknown };

/** All requests share one connection. */
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** `chunked`: in pieces, which only the router takes. */
function send(path: string, body: string, headers: Record<string, string>, chunked: boolean): Promise<Answer> {
  const length = chunked ? { "transfer-encoding": "chunked" } : { "content-length": String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const asked = request(
      server.baseUrl + path,
      { agent, method: "POST", headers: { ...headers, ...length } },
      (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => {
          const { date: _, "content-length": length, "transfer-encoding": coding, ...rest } = response.headers;
          expect(length !== undefined || coding !== undefined).toBe(true);
          resolve({ status: response.statusCode!, headers: rest, body: withoutIds(JSON.parse(text)) });
        });
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

const withoutIds = (body: unknown): unknown =>
  JSON.parse(JSON.stringify(body).replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>"));

const json = { "content-type": "application/json" };
const jobs = "/v1/queues/mail/jobs";

test.each<[what: string, path: string, body: string, headers: Record<string, string>, status: number]>([
  ["a job", jobs, '{"payload":{"n":1.0}}', json, 201],
  ["a job of raw bytes", jobs, "a;b", { "content-type": "text/csv", "x-rotor-delay": "1h" }, 201],
  ["a job without a body", jobs, "", json, 400],
  ["a batch", `${jobs}/batch`, '{"jobs":[{"payload":1},{"payload":2}]}', json, 201],
  ["an event", "/v1/events", '{"name":"seen","data":{"n":1}}', json, 200],
  [
    "a checkpoint that is stale",
    "/v1/checkpoints",
    '{"version":1,"runs":[{"token":"x","reports":[],"known_seq":0}]}',
    json,
    409,
  ],
  ["a queue that is not there", "/v1/queues/none/jobs", '{"payload":1}', json, 404],
  ["a name that is a step up", "/v1/queues/../jobs", "{}", json, 405],
  ["a name that is encoded", "/v1/queues/ma%69l/jobs", '{"payload":1}', json, 201],
  ["a query", `${jobs}?a=1`, "{}", json, 422],
  ["a function that is not there", "/v1/functions/none/runs", "{}", json, 404],
  ["no JSON", jobs, "{", json, 400],
  ["an unknown member", jobs, '{"payload":1,"nonsense":1}', json, 422],
  ["bytes that are compressed", jobs, "x", { ...json, "content-encoding": "gzip" }, 415],
  ["too much", jobs, JSON.stringify({ payload: "x".repeat(1_100_000) }), json, 413],
  ["no key that is good", jobs, "{}", { ...json, authorization: "Bearer nonsense" }, 401],
])("%s", async (_what, path, body, headers, status) => {
  const answers = [];
  for (const chunked of [false, true])
    answers.push(await send(path, body, { authorization: `Bearer ${key}`, ...headers }, chunked));
  expect(answers[0]).toEqual(answers[1]);
  expect(answers[0]!.status).toBe(status);
  expect(answers[0]!.headers).toMatchObject({ "x-content-type-options": "nosniff", "cache-control": "no-store" });
});

test("a key without the scope is refused at both, and a repeated id is a duplicate at both", async () => {
  for (const chunked of [false, true]) {
    expect((await send(jobs, "{}", { ...json, authorization: `Bearer ${readOnly}` }, chunked)).status).toBe(403);
    const again = await send(
      jobs,
      '{"job_id":"one","payload":1}',
      { ...json, authorization: `Bearer ${key}` },
      chunked,
    );
    expect(again).toMatchObject({ status: chunked ? 200 : 201, body: { duplicate: chunked } });
  }
});

test("requests of one connection are all answered, whichever door they take in turn", async () => {
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      send(
        jobs,
        JSON.stringify({ job_id: `many-${n}`, payload: n }),
        { ...json, authorization: `Bearer ${key}` },
        n % 2 === 0,
      ),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(60).fill(201));
});
