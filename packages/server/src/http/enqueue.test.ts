import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { type Send, type TestApi, testApi } from "./testing-kit/api.js";

let api: TestApi;
let send: Send;
let queue = 0;

beforeAll(async () => {
  api = await testApi();
  send = await api.as("default", ["read", "write"]);
});
afterAll(() => api.close());

/** A queue of its own. */
async function newQueue(): Promise<string> {
  const name = `q${++queue}`;
  expect((await send("POST", "/v1/queues", { name, callback_url: "http://127.0.0.1:9999/" })).status).toBe(201);
  return name;
}

const stored = async (id: string): Promise<string> =>
  (
    await api.database.db.query<{ body: Buffer }>(
      { name: "test.body", text: "select body from rotor.payloads where job_id = $1" },
      [id],
    )
  )[0]!.body.toString("latin1");

const count = async (name: string): Promise<number> =>
  (await send("GET", `/v1/queues/${name}/jobs?limit=100`)).json.data.length;

describe("a job in an envelope", () => {
  test("is durable, and read back by its id and by the client's", async () => {
    const name = await newQueue();
    const { status, json } = await send("POST", `/v1/queues/${name}/jobs`, {
      payload: { a: [1] },
      job_id: "order/1",
      tags: ["eu"],
      max_attempts: 3,
      priority: -5,
      timeout: "5s",
    });
    expect([status, json]).toEqual([201, { id: expect.any(String), queue: name, state: "waiting", duplicate: false }]);
    const byKey = await send("GET", `/v1/queues/${name}/jobs/order%2F1`);
    expect(byKey.json).toMatchObject({
      id: json.id,
      job_id: "order/1",
      payload: { a: [1] },
      payload_encoding: "json",
      tags: ["eu"],
      max_attempts: 3,
      attempt: 0,
      deliveries: [],
    });
    expect((await send("GET", `/v1/queues/${name}/jobs/${json.id}`)).json).toEqual(byKey.json);
  });

  test("keeps its payload's own text", async () => {
    const name = await newQueue();
    const payload = '{"n":12345678901234567890.10,"b":{"z":1,"a":1e999},"s":"\\u00e9\\u2028\\/","d":1,"d":2}';
    const one = await send(
      "POST",
      `/v1/queues/${name}/jobs`,
      `{"tags":["x"],\n "payload" : ${payload} ,"priority":1}`,
      { "content-type": "application/json; charset=utf-8" },
    );
    expect(await stored(one.json.id)).toBe(payload);
    const text = `{"jobs":[{"payload":${payload}},{"job_id":"b","payload":"${"é"}"}, { "payload":0.10 }]}`;
    const many = await send("POST", `/v1/queues/${name}/jobs/batch`, text, { "content-type": "application/json" });
    expect(many.status).toBe(201);
    const bodies = await Promise.all(many.json.jobs.map(({ id }: { id: string }) => stored(id)));
    expect(bodies).toEqual([payload, Buffer.from('"é"').toString("latin1"), "0.10"]);
  });

  test("is due after its delay, or at its date", async () => {
    const name = await newQueue();
    const runAt = "2027-01-01T00:00:00+01:00";
    await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, delay: 90, job_id: "a" });
    await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, delay: "2h", job_id: "b" });
    await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, run_at: runAt, job_id: "c" });
    const [a, b, c] = await Promise.all(
      ["a", "b", "c"].map(async (id) => (await send("GET", `/v1/queues/${name}/jobs/${id}`)).json),
    );
    const inMs = (job: { run_at: string; created_at: string }) => Date.parse(job.run_at) - Date.parse(job.created_at);
    expect([inMs(a), inMs(b), c.run_at, c.reason]).toEqual([90_000, 7_200_000, "2026-12-31T23:00:00.000Z", "delayed"]);
  });

  test("of a known id is answered with the first, and says where the payload differs", async () => {
    const name = await newQueue();
    const first = await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, job_id: "k" });
    const again = await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, job_id: "k" });
    const other = await send("POST", `/v1/queues/${name}/jobs`, { payload: 2, job_id: "k" });
    expect([again.status, again.json]).toEqual([200, { ...first.json, duplicate: true, payload_differs: false }]);
    expect(other.json).toMatchObject({ id: first.json.id, payload_differs: true });
    const rejected = await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, job_id: "k", on_duplicate: "reject" });
    expect([rejected.status, rejected.json.error]).toMatchObject([
      409,
      { code: "conflict", details: { id: first.json.id } },
    ]);
    const batch = await send("POST", `/v1/queues/${name}/jobs/batch`, {
      jobs: [{ payload: 1 }, { payload: 1, job_id: "k", on_duplicate: "reject" }],
    });
    expect([batch.status, await count(name)]).toEqual([409, 1]);
  });

  test("sent a hundred times at once is one job", async () => {
    const name = await newQueue();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => send("POST", `/v1/queues/${name}/jobs`, { payload: 1, job_id: "same" })),
    );
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  });
});

describe("a raw body", () => {
  test("is kept byte for byte, with its type and the options of its headers", async () => {
    const name = await newQueue();
    const bytes = new Uint8Array([0, 255, 254, 0xef, 0xbb, 0xbf, 10]);
    const headers = {
      "content-type": "application/x-thing",
      "x-rotor-job-id": "r",
      "x-rotor-delay": "30",
      "x-rotor-tags": "a, b",
      "x-rotor-max-attempts": "2",
      "x-rotor-priority": "-3",
    };
    const { status, json } = await send("POST", `/v1/queues/${name}/jobs`, bytes, headers);
    expect([status, await stored(json.id)]).toEqual([201, Buffer.from(bytes).toString("latin1")]);
    const job = (await send("GET", `/v1/queues/${name}/jobs/r`)).json;
    expect(job).toMatchObject({
      payload: Buffer.from(bytes).toString("base64"),
      payload_encoding: "base64",
      content_type: "application/x-thing",
      tags: ["a", "b"],
      max_attempts: 2,
    });
  });

  test("may be JSON, where a header says that it is no envelope", async () => {
    const name = await newQueue();
    const { json } = await send("POST", `/v1/queues/${name}/jobs`, '{ "any": 1.0 }', {
      "content-type": "application/json",
      "x-rotor-raw": "true",
    });
    expect(await stored(json.id)).toBe('{ "any": 1.0 }');
    expect((await send("GET", `/v1/queues/${name}/jobs/${json.id}`)).json).toMatchObject({
      payload: { any: 1 },
      payload_encoding: "json",
    });
  });

  test("that claims to be JSON and is none, or far too deep, is shown as bytes", async () => {
    const name = await newQueue();
    for (const text of ["{", "[".repeat(100_000) + "]".repeat(100_000)]) {
      const { json } = await send("POST", `/v1/queues/${name}/jobs`, text, {
        "content-type": "application/json",
        "x-rotor-raw": "true",
      });
      expect((await send("GET", `/v1/queues/${name}/jobs/${json.id}`)).json.payload_encoding).toBe("base64");
    }
  });

  test.each([
    ["x-rotor-prioritty", "1"],
    ["x-rotor-delay", "soon"],
    ["x-rotor-run-at", "tomorrow"],
    ["x-rotor-max-attempts", "0"],
    ["x-rotor-tags", ","],
    ["x-rotor-raw", "yes"],
    ["x-rotor-job-id", "\u00e9"],
    ["x-rotor-job-id", "rotor:tick:1"],
  ])("with %s: %s is refused", async (header, value) => {
    const name = await newQueue();
    const { status } = await send("POST", `/v1/queues/${name}/jobs`, "x", {
      "content-type": "text/plain",
      [header]: value,
    });
    expect([status, await count(name)]).toEqual([422, 0]);
  });
});

const long = (length: number) => "x".repeat(length);

describe("what is no good is refused with a reason, and nothing is written", () => {
  test.each<[string, string | Uint8Array, number, RegExp]>([
    ["nothing", "", 400, /empty/],
    ["null", "null", 422, /object/],
    ["a list", "[]", 422, /object/],
    ["truncated JSON", '{"payload":', 400, /not JSON/],
    ["a trailing comma", '{"payload":1,}', 400, /not JSON/],
    ["a byte order mark", '\ufeff{"payload":1}', 400, /byte order mark/],
    ["UTF-16", new Uint8Array(Buffer.from('{"payload":1}', "utf16le")), 400, /JSON/],
    ["bytes that are no UTF-8", new Uint8Array([0x22, 0xff, 0x22]), 400, /UTF-8/],
    ["NUL in a value", '{"payload":"\\u0000"}', 422, /u0000/],
    ["NUL in a key", '{"payload":{"\\u0000":1}}', 422, /u0000/],
    ["half a surrogate pair", '{"payload":"\\ud800"}', 422, /surrogate/],
    ["two payloads", '{"payload":1,"payload":2}', 422, /twice/],
    ["no payload", "{}", 422, /payload/],
    ["a typing mistake", '{"payload":1,"piority":3}', 422, /piority/],
    ["__proto__", '{"payload":1,"__proto__":{"job_id":"x"}}', 422, /__proto__/],
    ["deep nesting", `{"payload":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, 422, /nested/],
    ["an order of no key", '{"payload":1,"key_order":"strict"}', 422, /concurrency_key/],
    ["an empty id", '{"payload":1,"job_id":""}', 422, /job_id/],
    ["a blank id", '{"payload":1,"job_id":"  "}', 422, /blank/],
    ["a long id", `{"payload":1,"job_id":"${long(257)}"}`, 422, /job_id/],
    ["an id of ours", '{"payload":1,"job_id":"rotor:event:1"}', 422, /Rotor's own/],
    ["a control character in an id", '{"payload":1,"job_id":"a\\nb"}', 422, /control/],
    ["11 tags", `{"payload":1,"tags":[${Array.from({ length: 11 }, (_, i) => `"${i}"`)}]}`, 422, /tags/],
    ["a long tag", `{"payload":1,"tags":["${long(65)}"]}`, 422, /tags\.0/],
    ["a tag twice", '{"payload":1,"tags":["a","a"]}', 422, /twice/],
    ["no attempt", '{"payload":1,"max_attempts":0}', 422, /max_attempts/],
    ["a million attempts", '{"payload":1,"max_attempts":1000000}', 422, /max_attempts/],
    ["attempts and retries", '{"payload":1,"max_attempts":3,"retries":2}', 422, /write one/],
    ["a bare number as a timeout", '{"payload":1,"timeout":30}', 422, /timeout: .*write "30s"/],
    ["a delay of ten years", '{"payload":1,"delay":"3650d"}', 422, /too long/],
    ["a negative delay", '{"payload":1,"delay":-1}', 422, /delay: a number is seconds, from 0/],
    ["a delay and a date", '{"payload":1,"delay":1,"run_at":"2027-01-01T00:00:00Z"}', 422, /write one/],
    ["a date without offset", '{"payload":1,"run_at":"2027-01-01T00:00:00"}', 422, /offset/],
    ["30 February", '{"payload":1,"run_at":"2027-02-30T00:00:00Z"}', 422, /run_at/],
    ["the year 10000", '{"payload":1,"run_at":"9999-12-31T23:59:59-05:00"}', 422, /year/],
    ["the year 0", '{"payload":1,"run_at":"0000-01-01T00:00:00Z"}', 422, /year/],
    ["a priority of 101", '{"payload":1,"priority":101}', 422, /priority/],
    ["a priority of 1.5", '{"payload":1,"priority":1.5}', 422, /^priority: write a whole number$/],
    ["a payload without its envelope", '{"name":"Ada"}', 422, /^payload: it is missing$/],
    ["a header of ours", '{"payload":1,"headers":{"X-Rotor-Signature":"t"}}', 422, /x-rotor-signature/],
    ["a header with a line break", '{"payload":1,"headers":{"a":"b\\r\\nc: d"}}', 422, /line break/],
  ])("%s", async (_, body, status, message) => {
    const name = await newQueue();
    const answer = await send("POST", `/v1/queues/${name}/jobs`, body, { "content-type": "application/json" });
    expect(answer.json.error.message).toMatch(message);
    expect([answer.status, await count(name)]).toEqual([status, 0]);
    expect(api.logged).toEqual([]);
  });

  test("a body past the limit is not read to its end", async () => {
    const name = await newQueue();
    const pad = (bytes: number) => `{"payload":"${"x".repeat(bytes - 14)}"}`;
    const json = { "content-type": "application/json" };
    expect((await send("POST", `/v1/queues/${name}/jobs`, pad(limits.bodyBytes), json)).status).toBe(201);
    expect((await send("POST", `/v1/queues/${name}/jobs`, pad(limits.bodyBytes + 1), json)).status).toBe(413);
    let sent = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent++;
        controller.enqueue(new Uint8Array(65_536));
      },
      cancel() {
        cancelled = true;
      },
    });
    const local = await testApi({ dev: true });
    const headers = { "content-type": "text/plain", host: "localhost:7686" };
    const request = new Request("http://localhost:7686/v1/queues/q/jobs", {
      method: "POST",
      body: endless,
      duplex: "half",
      headers,
    } as RequestInit);
    const answer = await local.app.request(request);
    await local.close();
    expect([answer.status, cancelled, sent < 40]).toEqual([413, true, true]);
  });

  test("a compressed body, and one that is no JSON where only JSON is taken", async () => {
    const name = await newQueue();
    expect(
      (await send("POST", `/v1/queues/${name}/jobs`, "x", { "content-encoding": "gzip", "content-type": "text/plain" }))
        .status,
    ).toBe(415);
    expect(
      (
        await send("POST", `/v1/queues/${name}/jobs/batch`, '{"jobs":[{"payload":1}]}', {
          "content-type": "text/plain",
        })
      ).status,
    ).toBe(415);
    expect(await count(name)).toBe(0);
  });

  test("an option beside an envelope, where it would have no effect", async () => {
    const name = await newQueue();
    const { status, json } = await send("POST", `/v1/queues/${name}/jobs`, { payload: 1 }, { "x-rotor-delay": "5s" });
    expect([status, json.error.message, await count(name)]).toEqual([
      422,
      expect.stringMatching(/x-rotor-delay.*x-rotor-raw/),
      0,
    ]);
  });

  test("an empty or oversized batch, and one with a bad job among good ones", async () => {
    const name = await newQueue();
    const batches = [
      [],
      Array.from({ length: limits.batch + 1 }, () => ({ payload: 1 })),
      [{ payload: 1 }, { payload: 1, tags: [""] }, { payload: 1 }],
    ];
    for (const jobs of batches)
      expect((await send("POST", `/v1/queues/${name}/jobs/batch`, { jobs })).status).toBe(422);
    const { json } = await send("POST", `/v1/queues/${name}/jobs/batch`, { jobs: batches[2] });
    expect(json.error.details.issues[0].path).toBe("jobs.1.tags.0");
    expect(await count(name)).toBe(0);
  });

  test.each(["a%2Fb", "a%00", "constructor", "__proto__", long(300), "%F0%9F%98%80", "%ff"])(
    "a job for the queue %s, which is not there",
    async (name) => {
      const { status, json } = await send("POST", `/v1/queues/${name}/jobs`, { payload: 1 });
      expect([status, json.error.code]).toEqual([404, "not_found"]);
    },
  );
});

test("a queue that was deleted and made anew by somebody else takes jobs at once", async () => {
  const name = await newQueue();
  await send("POST", `/v1/queues/${name}/jobs`, { payload: 1, job_id: "a" });
  await send("DELETE", `/v1/queues/${name}/jobs/a`);
  const { db } = api.database;
  await db.query({ name: "test.gone", text: "delete from rotor.queues where name = $1" }, [name]);
  expect((await send("POST", `/v1/queues/${name}/jobs`, { payload: 1 })).status).toBe(404);
  await send("PUT", `/v1/queues/${name}`, {});
  expect((await send("POST", `/v1/queues/${name}/jobs`, { payload: 1 })).status).toBe(201);
});
