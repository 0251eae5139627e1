/**
 * HTTP as no client writes it, on raw sockets: requests that two readers would read differently, targets and methods of all
 * kinds, heads and bodies that never end. Each is one request or none, and the server goes on.
 */
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { eventually } from "../testing-kit/server.js";
import { long } from "./testing-kit/bad-inputs/case.js";
import { type StrictServer, strictServer } from "./testing-kit/strict-server.js";

let server: StrictServer;
let auth: string;
/** What would be done if a body were read as a request. */
let smuggled: string;
/** Sockets that a test leaves open for others to go on beside. */
const held: Socket[] = [];

beforeAll(async () => {
  server = await strictServer();
  await server.rotor.queues.create("q");
  auth = `Host: 127.0.0.1:${server.port}\r\nAuthorization: Bearer ${server.key}\r\n`;
  smuggled = `DELETE /v1/queues/q HTTP/1.1\r\n${auth}\r\n`;
});
afterAll(async () => {
  for (const socket of held) socket.destroy();
  await server.close();
});

const open = (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(server.port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
    // The server breaking off is what many of these are about.
    socket.on("error", () => socket.destroy());
  });

type Heard = { readonly statuses: readonly number[]; readonly text: string; readonly closed: boolean };

/** Sends bytes, and hears whatever comes until the server closes or is silent for a while. */
async function say(bytes: string | Buffer, silenceMs = 400): Promise<Heard> {
  const socket = await open();
  let text = "";
  const closed = await new Promise<boolean>((resolve) => {
    let timer = setTimeout(() => resolve(false), 5_000);
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
      clearTimeout(timer);
      timer = setTimeout(() => resolve(false), silenceMs);
    });
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(true);
    });
    socket.write(bytes);
  });
  socket.destroy();
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  return { statuses, text, closed };
}

const enqueue = (headers: string, body: string): string =>
  `POST /v1/queues/q/jobs HTTP/1.1\r\n${auth}Content-Type: application/json\r\n${headers}\r\n${body}`;
const JOB = '{"payload":1}';
const chunk = (text: string, extension = ""): string => `${text.length.toString(16)}${extension}\r\n${text}\r\n`;

test("a request that could be read in two ways is refused, and its body is no request", async () => {
  const requests: readonly (readonly [name: string, request: () => string])[] = [
    ["TE.CL", () => enqueue("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", `${chunk(smuggled)}0\r\n\r\n`)],
    ["CL.TE", () => enqueue(`Transfer-Encoding: chunked\r\nContent-Length: ${JOB.length}\r\n`, `0\r\n\r\n${smuggled}`)],
    ["two lengths", () => enqueue(`Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n`, smuggled)],
    ["two lengths in one", () => enqueue(`Content-Length: 0, ${smuggled.length}\r\n`, smuggled)],
    ["a space before the colon", () => enqueue("Transfer-Encoding : chunked\r\n", `0\r\n\r\n${smuggled}`)],
    ["an encoding that there is not", () => enqueue("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${smuggled}`)],
    ["chunked, and then not", () => enqueue("Transfer-Encoding: chunked, identity\r\n", `0\r\n\r\n${smuggled}`)],
    ["chunked in a folded line", () => enqueue("Transfer-Encoding:\r\n chunked\r\n", `0\r\n\r\n${smuggled}`)],
    ["a length with a sign", () => enqueue("Content-Length: +0\r\n", smuggled)],
    ["a length in hex", () => enqueue("Content-Length: 0x0\r\n", smuggled)],
    ["a length past all numbers", () => enqueue(`Content-Length: ${long(40, "9")}\r\n`, smuggled)],
    ["a negative length", () => enqueue("Content-Length: -1\r\n", smuggled)],
    ["bare line feeds", () => enqueue(`Content-Length: ${JOB.length}\r\n`, JOB).replaceAll("\r\n", "\n")],
    ["a bare carriage return in a header", () => enqueue(`X: a\rContent-Length: 0\r\n`, smuggled)],
    ["NUL in a header", () => enqueue("X: a\0b\r\n", "")],
    ["a header without a colon", () => enqueue("Nonsense\r\n", "")],
    ["a header without a name", () => enqueue(": x\r\n", "")],
    ["a chunk whose length is none", () => enqueue("Transfer-Encoding: chunked\r\n", `zz\r\n${smuggled}`)],
    ["a chunk that is longer than it says", () => enqueue("Transfer-Encoding: chunked\r\n", `1\r\n${smuggled}`)],
    ["a chunk of bare line feeds", () => enqueue("Transfer-Encoding: chunked\r\n", `0\n\n${smuggled}`)],
    [
      "a chunk with a line break in its extension",
      () => enqueue("Transfer-Encoding: chunked\r\n", `1;a\n\r\nx\r\n0\r\n\r\n`),
    ],
    ["two hosts", () => `GET /v1/queues HTTP/1.1\r\n${auth}Host: other\r\n\r\n`],
    ["no host", () => `GET /v1/queues HTTP/1.1\r\nAuthorization: Bearer ${server.key}\r\n\r\n`],
    ["HTTP/0.9", () => "GET /v1/queues\r\n\r\n"],
    ["HTTP/9.9", () => `GET /v1/queues HTTP/9.9\r\n${auth}\r\n`],
    ["HTTP/2 by surprise", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["TLS", () => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["another protocol", () => "SSH-2.0-OpenSSH_9.2\r\n"],
    ["a method in lower case", () => `get /v1/queues HTTP/1.1\r\n${auth}\r\n`],
    ["a method that there is not", () => `FROB /v1/queues HTTP/1.1\r\n${auth}\r\n`],
    ["a space in the target", () => `GET /v1/queues /x HTTP/1.1\r\n${auth}\r\n`],
    ["a control character in the target", () => `GET /v1/\x01queues HTTP/1.1\r\n${auth}\r\n`],
    ["CONNECT", () => `CONNECT 127.0.0.1:5432 HTTP/1.1\r\n${auth}\r\n`],
    ["a head of 20 kB", () => `GET /v1/queues HTTP/1.1\r\n${auth}X: ${long(20_000)}\r\n\r\n`],
    ["a target of 20 kB", () => `GET /v1/queues?${long(20_000)} HTTP/1.1\r\n${auth}\r\n`],
    ["an expectation that there is not", () => enqueue("Expect: 200-maybe\r\nContent-Length: 13\r\n", JOB)],
  ];
  const before = await server.everything();
  const wrong = await Promise.all(
    requests.map(async ([name, request]) => {
      const { statuses, closed } = await say(Buffer.from(request(), "latin1"));
      // Closed without a word is fine as well.
      const isRefused = statuses.length <= 1 && statuses.every((status) => status >= 400 && status < 500);
      return isRefused && (closed || statuses.length === 1) ? [] : [`${name}: ${statuses}`];
    }),
  );
  expect(wrong.flat()).toEqual([]);
  expect(await server.everything()).toEqual(before);
});

describe("a request that is unusual and plain is one request", () => {
  const get = (target: string, more = ""): string => `GET ${target} HTTP/1.1\r\n${auth}${more}\r\n`;

  const requests: readonly (readonly [name: string, request: () => string, wanted: readonly number[]])[] = [
    ["an absolute target", () => get(`http://127.0.0.1:${server.port}/v1/queues`), [200]],
    ["an absolute target of another host", () => get("http://evil.example/v1/queues"), [200, 400, 404]],
    ["two slashes", () => get("//v1/queues"), [400, 404]],
    ["two slashes inside", () => get("/v1//queues"), [400, 404]],
    ["a host in the target", () => get("//evil.example/v1/queues"), [400, 404]],
    ["dots", () => get("/v1/queues/../../etc/passwd"), [400, 404]],
    ["encoded dots", () => get("/%2e%2e/%2e%2e/etc/passwd"), [400, 404]],
    ["a parameter in the path", () => get("/v1/queues;x=1"), [400, 404]],
    ["a backslash", () => get("/v1\\queues"), [200, 400, 404]],
    [
      "an upgrade",
      () => get("/v1/queues", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n"),
      [200],
    ],
    ["an upgrade to HTTP/2", () => get("/v1/queues", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), [200]],
    ["a body of a GET", () => get("/v1/queues", "Content-Length: 5\r\n").concat("hello"), [200]],
    ["OPTIONS of all", () => `OPTIONS * HTTP/1.1\r\n${auth}\r\n`, [400, 404, 405]],
    ["TRACE", () => `TRACE /v1/queues HTTP/1.1\r\n${auth}\r\n`, [400, 404, 405]],
    [
      "150 headers",
      () => get("/v1/queues", Array.from({ length: 150 }, (_, n) => `X-${n}: 1\r\n`).join("")),
      [200, 431],
    ],
    ["chunk extensions", () => enqueue("Transfer-Encoding: chunked\r\n", `${chunk(JOB, ";a=b")}0\r\n\r\n`), [201]],
    [
      "trailers",
      () => enqueue("Transfer-Encoding: chunked\r\n", `${chunk(JOB)}0\r\nAuthorization: Bearer x\r\n\r\n`),
      [201],
    ],
    ["an expectation of a go", () => enqueue("Expect: 100-continue\r\nContent-Length: 13\r\n", JOB), [201]],
  ];

  test("whatever is odd about it", async () => {
    const wrong = await Promise.all(
      requests.map(async ([name, request, wanted]) => {
        const { statuses, text } = await say(Buffer.from(request(), "latin1"));
        const last = statuses.filter((status) => status !== 100);
        const isWanted = last.length === 1 && wanted.includes(last[0]!) && !text.includes("root:");
        return isWanted ? [] : [`${name}: ${statuses}`];
      }),
    );
    expect(wrong.flat()).toEqual([]);
  });

  test("two in one packet are two, in their order", async () => {
    const { statuses } = await say(get("/v1/queues") + get("/v1/none"));
    expect(statuses).toEqual([200, 404]);
  });
});

test("slow heads, slow bodies, silence and a flood of sockets do not hold up others, and are ended", async () => {
  const kinds: [count: number, begin: string][] = [
    [150, `POST /v1/queues/q/jobs HTTP/1.1\r\n${auth}X-Drip: `],
    [150, enqueue(`Content-Length: 1000\r\n`, '{"payload":"')],
    [150, enqueue("Transfer-Encoding: chunked\r\n", "a\r\n")],
    [550, ""],
  ];
  const slow: Socket[] = [];
  const begun = performance.now();
  for (const [count, begin] of kinds)
    for (let n = 0; n < count; n++) {
      const socket = await open();
      if (begin !== "") socket.write(begin);
      held.push(socket);
      if (slow.length < 150) slow.push(socket);
    }
  const drip = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write("x");
  }, 500);
  const before = process.memoryUsage().rss;
  const times: number[] = [];
  for (let n = 0; n < 50; n++) {
    const { status, ms } = await server.ask({ path: "/v1/queues/q/jobs", body: JOB });
    expect(status).toBe(201);
    times.push(ms);
  }
  times.sort((a, b) => a - b);
  expect(times[25]).toBeLessThan(500);
  expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  // However it drips: the time is of the whole head.
  const most = limits.requestHeadMs + limits.requestLookMs;
  await eventually("the end of slow heads", () => slow.every((socket) => socket.closed), most + 10_000);
  clearInterval(drip);
  expect(performance.now() - begun).toBeGreaterThan(limits.requestHeadMs - 1_000);
});
