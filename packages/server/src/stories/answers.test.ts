/**
 * What an endpoint gets, and what each of its answers means: a whole server, real endpoints, a story a row of the table.
 * Long, since the table is.
 */
import { execFileSync } from "node:child_process";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Job } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { systemResolve } from "../delivery/connector.js";
import { goodTestCertificate, goodTestKey } from "../delivery/testing-kit/certificate.js";
import { rawServer } from "../delivery/testing-kit/raw-server.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { afterDeliveries, delivered, enqueueTo } from "./testing-kit/delivered.js";

let server: TestServer;

beforeAll(async () => {
  server = await testServer(
    {},
    {
      ca: goodTestCertificate,
      resolve: async (host) => (host.endsWith(".test") ? ["127.0.0.1"] : systemResolve(host)),
    },
  );
});
afterAll(() => server.close());

type Answer = { status?: number; headers?: Record<string, string>; body?: string | Buffer };

/** What becomes of a job whose endpoint answers so. */
const answered = async ({ status = 200, headers = {}, body = "" }: Answer): Promise<Job> =>
  delivered(server, await server.serve((_request, response) => response.writeHead(status, headers).end(body)));

/** Milliseconds from the end of a job's last attempt to its next one. */
const backoffOf = (job: Job): number => Date.parse(job.until!) - Date.parse(job.deliveries!.at(-1)!.endedAt);

/** As a failure that is tried again leaves a job. */
const retrying = { state: "waiting", reason: "retrying", attempt: 1 };

describe("an answer that means completed", () => {
  test.each([200, 201, 204, 226])("is any 2xx, such as %d", async (status) => {
    const job = await answered({ status });
    expect(job).toMatchObject({ state: "completed", deliveries: [{ outcome: "completed", status, error: null }] });
    expect(job.output).toBeUndefined();
  });

  test("is a plain 202, too", async () => {
    expect(await answered({ status: 202, body: "queued" })).toMatchObject({ state: "completed", output: "queued" });
    const no = await answered({ status: 202, headers: { "x-rotor-async": "false" } });
    expect(no.state).toBe("completed");
  });

  test("has its body kept as the output: JSON as such, other text as it is", async () => {
    expect((await answered({ body: '{"n":[1,"ü"]}' })).output).toEqual({ n: [1, "ü"] });
    expect((await answered({ body: "plain" })).output).toBe("plain");
    expect((await answered({ body: Buffer.from([0x61, 0, 0xff]) })).output).toBe("a\ufffd\ufffd");
  });

  test("has a body of 64 KiB kept whole, and a longer one cut, which is noted", async () => {
    const whole = await answered({ body: "a".repeat(limits.callbackOutputBytes) });
    expect([whole.output.length, whole.deliveries![0]!.error]).toEqual([65_536, null]);
    const cut = await answered({ body: "b".repeat(1_000_000) });
    expect(cut).toMatchObject({ state: "completed", output: "b".repeat(65_536) });
    expect(cut.deliveries![0]!.error).toEqual({ name: "Warning", message: "the answer was cut after 65536 bytes" });
  });

  test("is flagged when it is a page of HTML", async () => {
    const job = await answered({ headers: { "content-type": "Text/HTML; charset=utf-8" }, body: "<html>" });
    expect(job).toMatchObject({ state: "completed", error: null });
    expect(job.deliveries![0]!.error!.message).toContain("HTML");
  });
});

describe("202 with x-rotor-async: true", () => {
  /** A job that its endpoint accepted, and the capability that it got. */
  const accepted = async (asyncTimeout: "24h" | "2h" = "24h") => {
    let completeUrl = "";
    const url = await server.serve((request, response) => {
      completeUrl = String(request.headers["x-rotor-complete-url"]);
      response.writeHead(202, { "x-rotor-async": "true" }).end();
    });
    const ref = await enqueueTo(server, url, { asyncTimeout });
    const job = await afterDeliveries(server, ref);
    expect(job).toMatchObject({ state: "active", deliveries: [{ outcome: "accepted", status: 202 }] });
    const post = (verb: string, body?: unknown): Promise<Response> =>
      fetch(completeUrl.replace("/complete?", `/${verb}?`), {
        method: "POST",
        ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
      });
    const dueInMs = async (): Promise<number> =>
      Number(
        (
          await server.db.script(
            `select extract(epoch from due_at - rotor.clock()) * 1000 as ms from rotor.jobs where id = '${ref.id}'`,
          )
        ).rows[0].ms,
      );
    return { ...ref, post, dueInMs, completeUrl, read: () => server.rotor.jobs.get(ref.queue, ref.id) };
  };

  test("stays active until it is completed by the capability, once", async () => {
    const job = await accepted();
    expect((await job.post("complete", { output: { rows: 3 } })).status).toBe(200);
    expect(await job.read()).toMatchObject({
      state: "completed",
      output: { rows: 3 },
      deliveries: [{ outcome: "completed", status: 202, response: { headers: { "x-rotor-async": "true" } } }],
    });
    expect((await job.post("complete", { output: 4 })).status).toBe(409);
    expect((await job.post("fail")).status).toBe(409);
  });

  test("is failed by the capability: retried when it says so, or for good", async () => {
    const [again, never] = [await accepted(), await accepted()];
    expect((await again.post("fail", { error: "no credit", retry_after: "5m" })).status).toBe(200);
    const job = await again.read();
    expect(job).toMatchObject({ ...retrying, error: { message: "no credit" } });
    expect(backoffOf(job)).toBeCloseTo(300_000, -3);
    expect((await never.post("fail", { error: "gone", retriable: false })).status).toBe(200);
    expect(await never.read()).toMatchObject({ state: "failed", attempt: 1, error: { message: "gone" } });
  });

  test("lives on by heartbeats, each of which gives it the whole time again", async () => {
    const job = await accepted("2h");
    expect(await job.dueInMs()).toBeGreaterThan(7_100_000);
    await server.db.script(`update rotor.jobs set due_at = rotor.clock() + interval '1 minute' where id = '${job.id}'`);
    expect((await job.post("heartbeat")).status).toBe(200);
    expect(await job.dueInMs()).toBeGreaterThan(7_100_000);
  });

  test("is tried again when async_timeout passes, and the capability of before is no good any more", async () => {
    const job = await accepted();
    expect(await job.dueInMs()).toBeGreaterThan(86_300_000);
    await server.db.script(`update rotor.jobs set due_at = rotor.clock() - interval '1 minute' where id = '${job.id}'`);
    const expired = await eventually("its end", async () => {
      const read = await job.read();
      return read.state !== "active" && read;
    });
    expect(expired).toMatchObject({ ...retrying, deliveries: [{ outcome: "expired", status: 202 }] });
    expect((await job.post("complete")).status).toBe(409);
  });

  test("shows no token with its attempt", async () => {
    const job = await accepted();
    const token = new URL(job.completeUrl).searchParams.get("token")!;
    const read = await job.read();
    expect(JSON.stringify(read)).not.toContain(token);
    expect(read.deliveries![0]!.request!.headers["x-rotor-complete-url"]).toBe(
      `${server.baseUrl}/v1/jobs/${job.id}/complete?token=…`,
    );
  });
});

describe("Retry-After", () => {
  const inMs = (ms: number): string => new Date(Date.now() + ms).toUTCString();
  const hour = 3_600_000;

  test.each<[string, () => string, number]>([
    ["seconds", () => "120", 120_000],
    ["none at all", () => "0", 0],
    ["a date", () => inMs(2 * hour), 2 * hour],
    ["a date in the past", () => inMs(-hour), 0],
    ["more than a day", () => "9999999", 24 * hour],
    ["a date beyond a day", () => inMs(400 * hour), 24 * hour],
    ["nonsense, which is ignored", () => "soon", hour],
    ["a negative number, which is ignored", () => "-5", hour],
    ["a list, which is ignored", () => "1, 2", hour],
  ])("of %s is when it is tried again", async (_name, text, ms) => {
    for (const status of [503, 429]) {
      let calls = 0;
      const url = await server.serve((_request, response) => {
        calls += 1;
        response.writeHead(calls === 1 ? status : 500, calls === 1 ? { "retry-after": text() } : {}).end();
      });
      if (ms > 0) {
        const job = await delivered(server, url);
        expect(job).toMatchObject(retrying);
        expect(Math.abs(backoffOf(job) - ms)).toBeLessThan(2_000);
      } else {
        const job = await afterDeliveries(server, await enqueueTo(server, url), 2);
        const [first, second] = job.deliveries!;
        expect(Date.parse(second!.endedAt) - Date.parse(first!.endedAt)).toBeLessThan(10_000);
      }
    }
  });
});

describe("an answer that means failed at once", () => {
  test.each<[string, Answer]>([
    ["410", { status: 410 }],
    ["x-rotor-no-retry: true on a 4xx", { status: 422, headers: { "x-rotor-no-retry": "true" } }],
    ["x-rotor-no-retry: true on a 5xx", { status: 500, headers: { "X-Rotor-No-Retry": "TRUE", "retry-after": "5" } }],
  ])("is %s", async (_name, answer) => {
    const job = await answered({ ...answer, body: "no such account" });
    expect(job).toMatchObject({ state: "failed", attempt: 1, until: null, error: { code: String(answer.status) } });
    expect(job.error!.message).toContain("no such account");
    expect(await server.rotor.dlq.list({ queue: job.queue }).page()).toMatchObject({ data: [{ id: job.id }] });
  });

  test("is none of these with another value", async () => {
    expect(await answered({ status: 400, headers: { "x-rotor-no-retry": "no" } })).toMatchObject(retrying);
  });
});

describe("an answer that is tried again by the queue's back-off", () => {
  test.each([400, 401, 403, 404, 408, 409, 413, 422, 429, 451, 500, 501, 502, 503, 504, 599, 600, 999])(
    "is %d",
    async (status) => {
      const job = await answered({ status, body: "why" });
      expect(job).toMatchObject({ ...retrying, deliveries: [{ outcome: "retry", status }] });
      expect(job.error).toEqual({
        name: "HttpError",
        message: `The endpoint answered ${status}: why`,
        code: `${status}`,
      });
      expect(Math.abs(backoffOf(job) - 3_600_000)).toBeLessThan(2_000);
    },
  );

  test("ends in the dead letters when all attempts are used, each of them shown", async () => {
    let calls = 0;
    const url = await server.serve((_request, response) => response.writeHead(500).end(`failure ${++calls}`));
    const ref = await enqueueTo(server, url, { retry: { maxAttempts: 3, backoff: ["1ms"], jitter: "none" } });
    const job = await afterDeliveries(server, ref, 3);
    expect(job).toMatchObject({
      state: "failed",
      attempt: 3,
      error: { message: "The endpoint answered 500: failure 3" },
    });
    expect(
      job.deliveries!.map(({ attempt, outcome, request }) => [attempt, outcome, request!.headers["x-rotor-attempt"]]),
    ).toEqual([
      [1, "retry", "1"],
      [2, "retry", "2"],
      [3, "failed", "3"],
    ]);
  });

  test.each([301, 302, 303, 307, 308])("is a redirect (%d), which is shown and not followed", async (status) => {
    let followed = 0;
    const target = await server.serve((_request, response) => {
      followed += 1;
      response.end();
    });
    const job = await answered({ status, headers: { location: `${target}/elsewhere` } });
    expect(job).toMatchObject({
      ...retrying,
      deliveries: [{ status, response: { headers: { location: `${target}/elsewhere` } } }],
    });
    expect(job.error!.message).toContain(`answered ${status} to ${target}/elsewhere; redirects are not followed`);
    expect(followed).toBe(0);
  });

  test("is a 304", async () => {
    expect(await answered({ status: 304 })).toMatchObject({ ...retrying, deliveries: [{ status: 304 }] });
  });
});

describe("no answer", () => {
  test("within the time limit is a failure, however busily it drips", async () => {
    const dripping = await rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000000\r\n\r\n");
      const drip = setInterval(() => socket.write("."), 100);
      socket.on("close", () => clearInterval(drip));
    });
    const job = await delivered(server, dripping.url, { timeout: "500ms" });
    expect(job).toMatchObject({
      ...retrying,
      error: { name: "TimeoutError" },
      // What came of it is shown all the same.
      deliveries: [{ status: null, response: { headers: { "content-type": "text/plain" } } }],
    });
    const [{ durationMs, timing }] = job.deliveries as [NonNullable<Job["deliveries"]>[0]];
    expect(durationMs).toBeGreaterThanOrEqual(499);
    expect(durationMs).toBeLessThan(2_500);
    expect(timing!.readMs).toBeGreaterThan(200);
    await dripping.close();
  });

  test("at all within the time limit is a failure", async () => {
    const url = await server.serve(() => undefined);
    const job = await delivered(server, url, { timeout: "100ms" });
    expect(job).toMatchObject({ ...retrying, error: { name: "TimeoutError" } });
    expect(job.deliveries![0]).not.toHaveProperty("response");
  });

  test("where nobody listens is a failure, and nothing was sent", async () => {
    const closed = await rawServer(() => undefined);
    await closed.close();
    const job = await delivered(server, closed.url);
    expect(job).toMatchObject({ ...retrying, error: { name: "UnreachableError", code: "refused" } });
  });

  test.each<[string, string]>([
    ["before", ""],
    ["in the head of", "HTTP/1.1 200 OK\r\ncontent-"],
    ["in the body of", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc"],
  ])("but a reset %s it is a failure", async (_name, text) => {
    const resetting = await rawServer((socket) => {
      if (text === "") socket.resetAndDestroy();
      else socket.write(text, () => setImmediate(() => socket.resetAndDestroy()));
    });
    const job = await delivered(server, resetting.url);
    expect(job).toMatchObject({ ...retrying, error: { name: "ConnectionLostError" } });
    await resetting.close();
  });

  test("for a name that does not exist is a failure", async () => {
    const job = await delivered(server, "http://no-such-host.invalid:8080/");
    expect(job).toMatchObject({ ...retrying, error: { name: "UnreachableError", code: "dns" } });
  });

  describe("over TLS", () => {
    /** A job of an endpoint at this name with this certificate; how many requests the endpoint saw. */
    const overTls = async (name: string, key: string, cert: string): Promise<[Job, number]> => {
      let requests = 0;
      const endpoint = createTlsServer({ key, cert }, (_request, response) => {
        requests += 1;
        response.end("ok");
      });
      await new Promise<void>((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
      const job = await delivered(server, `https://${name}:${(endpoint.address() as AddressInfo).port}/`);
      endpoint.closeAllConnections();
      endpoint.close();
      return [job, requests];
    };

    test("with a good certificate is none of this", async () => {
      const [job, requests] = await overTls("good.test", goodTestKey, goodTestCertificate);
      expect([job.state, requests]).toEqual(["completed", 1]);
    });

    test("with a certificate for another name is a failure, and nothing is sent", async () => {
      const [job, requests] = await overTls("other.test", goodTestKey, goodTestCertificate);
      expect(job).toMatchObject({ ...retrying, error: { name: "UnreachableError", code: "tls" } });
      expect(requests).toBe(0);
    });

    test("with a certificate that vouches for itself is a failure, and nothing is sent", async () => {
      const made = execFileSync(
        "openssl",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=good.test -keyout - -out -".split(" "),
        { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
      );
      const [job, requests] = await overTls("good.test", made, made);
      expect(job).toMatchObject({ ...retrying, error: { name: "UnreachableError", code: "tls" } });
      expect(requests).toBe(0);
    });
  });
});

describe("an endpoint", () => {
  type Got = { method?: string; url?: string; headers: NodeJS.Dict<string | string[]>; body: Buffer };

  /** An endpoint that notes what it gets, and its queue. */
  const noting = async (queue: Parameters<typeof enqueueTo>[2] = {}) => {
    const got: Got[] = [];
    const url = await server.serve(async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece);
      got.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(pieces) });
      response.end();
    });
    const name = `noting-${url.split(":").at(-1)}`;
    await server.rotor.queues.create(name, { callbackUrl: `${url}/jobs?a=1`, ...queue });
    const enqueue = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>): Promise<Response> =>
      fetch(`${server.baseUrl}/v1/queues/${name}/jobs`, { method: "POST", headers, body });
    const next = (count = 1): Promise<Got> => eventually("a delivery", () => got[count - 1]);
    return { name, enqueue, next, got };
  };

  const json = { "content-type": "application/json" };

  test("gets the headers of the contract, the queue's own and the job's own", async () => {
    const { name, enqueue, next } = await noting({
      headers: { "X-Tenant": "t1", "x-team": "blue", authorization: "Bearer endpoint-secret" },
      retry: { maxAttempts: 7 },
    });
    const made = await enqueue('{"payload":{"a":1},"headers":{"x-team":"red"},"run_at":"2026-01-02T03:04:05Z"}', json);
    const { id } = (await made.json()) as { id: string };
    const { method, url, headers } = await next();
    expect([method, url]).toEqual(["POST", "/jobs?a=1"]);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "user-agent": "Rotor",
      "x-rotor-job-id": id,
      "x-rotor-queue": name,
      "x-rotor-attempt": "1",
      "x-rotor-max-attempts": "7",
      "x-rotor-scheduled-at": "2026-01-02T03:04:05.000Z",
      "x-rotor-complete-url": expect.stringContaining(`${server.baseUrl}/v1/jobs/${id}/complete?token=`),
      "x-rotor-signature": expect.stringMatching(/^t=\d{10},v1=[0-9a-f]{64}$/),
      "x-tenant": "t1",
      "x-team": "red",
      authorization: "Bearer endpoint-secret",
    });
    expect(headers.traceparent).toMatch(new RegExp(`^00-${id.replaceAll("-", "")}-[0-9a-f]{16}-01$`));
    expect(headers).not.toHaveProperty("accept-encoding");
    const [attempt] = (await afterDeliveries(server, { queue: name, id })).deliveries!;
    expect(Object.keys(attempt!.request!.headers).sort()).toEqual(
      Object.keys(headers)
        .filter((each) => !["host", "connection", "content-length"].includes(each))
        .sort(),
    );
    expect(attempt!.request!.headers).toMatchObject({
      "x-rotor-job-id": id,
      "x-tenant": "t1",
      authorization: "…",
      "x-rotor-signature": "…",
    });
    expect(JSON.stringify(attempt)).not.toContain("endpoint-secret");
    expect(attempt!.timing).toEqual({
      queueMs: expect.any(Number),
      connectMs: expect.any(Number),
      waitMs: expect.any(Number),
      readMs: expect.any(Number),
    });
  });

  test("gets the traceparent of whoever enqueued it, by each door, and one of ours for one that is none", async () => {
    const { name, enqueue, next } = await noting();
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    await enqueue('{"payload":1}', { ...json, traceparent });
    expect((await next(1)).headers.traceparent).toBe(traceparent);
    await enqueue("raw", { "content-type": "text/plain", traceparent });
    expect((await next(2)).headers.traceparent).toBe(traceparent);
    await fetch(`${server.baseUrl}/v1/queues/${name}/jobs/batch`, {
      method: "POST",
      headers: { ...json, traceparent },
      body: '{"jobs":[{"payload":2}]}',
    });
    expect((await next(3)).headers.traceparent).toBe(traceparent);
    await enqueue('{"payload":1}', { ...json, traceparent: `00-${"0".repeat(32)}-00f067aa0ba902b7-00` });
    expect((await next(4)).headers.traceparent).toMatch(/^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  });

  test("gets an envelope's payload in its own text", async () => {
    const { enqueue, next } = await noting();
    const payloads = [
      '{"n":12345678901234567890.10,"e":1E+999,"z":-0,"b":{"z":1,"a":2},"d":1,"d":2,"10":1,"9":2}',
      '"\\u00e9\\u2028\\/\\ud83c\\udf89"',
      '{"__proto__":{"a":1},"":[]}',
      "0.10",
      "null",
      '"日本🎉"',
    ];
    for (const [index, payload] of payloads.entries()) {
      expect((await enqueue(`{"payload":${payload}}`, json)).status).toBe(201);
      const { body, headers } = await next(index + 1);
      expect([body.toString(), headers["content-length"]]).toEqual([payload, String(Buffer.byteLength(payload))]);
    }
  });

  test("gets a raw body byte for byte under its own content type", async () => {
    const { enqueue, next } = await noting();
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const bodies: [string, Uint8Array<ArrayBuffer>][] = [
      ["application/octet-stream", all],
      ["application/x-protobuf; v=1", new Uint8Array([0xef, 0xbb, 0xbf, 0, 10, 13, 10])],
      ["text/plain", new Uint8Array(0)],
      ["application/x-www-form-urlencoded", new TextEncoder().encode("a=1&b=%20")],
      ["image/png", new Uint8Array(limits.bodyBytes).fill(0xfe)],
    ];
    for (const [index, [type, bytes]] of bodies.entries()) {
      expect((await enqueue(bytes, { "content-type": type })).status).toBe(201);
      const { body, headers } = await next(index + 1);
      expect([headers["content-type"], Buffer.compare(body, bytes)]).toEqual([type, 0]);
    }
    await enqueue('{ "any" : 1.0 }', { ...json, "x-rotor-raw": "true" });
    expect((await next(bodies.length + 1)).body.toString()).toBe('{ "any" : 1.0 }');
  });
});
