import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DeliveryResult, deliver, type HttpRequest } from "./deliver.js";
import { parsePolicy } from "./guard.js";
import { Pools } from "./pools.js";
import { Stop } from "./stop.js";
import { type RawServer, rawServer } from "./testing-kit/raw-server.js";

let pools: Pools;
let servers: RawServer[];

beforeEach(() => {
  pools = new Pools({ policy: parsePolicy("loopback"), patienceMs: 10 });
  servers = [];
});

afterEach(async () => {
  await pools.close();
  await Promise.all(servers.map((server) => server.close()));
});

type AnswerFn = (socket: Socket, request: string, count: number) => void;

const serve = async (answer: AnswerFn): Promise<RawServer> => {
  const server = await rawServer(answer);
  servers.push(server);
  return server;
};

const post = (url: string, more: Partial<HttpRequest> = {}): Promise<DeliveryResult> =>
  deliver(pools, { url, headers: {}, body: "{}", timeoutMs: 2_000, maxBodyBytes: 1_024, ...more });

/** What becomes of a POST to a server that answers with this text. */
const answeredWith = async (text: string, more: Partial<HttpRequest> = {}, end = false): Promise<DeliveryResult> => {
  const server = await serve((socket) => (end ? socket.end(text, "latin1") : socket.write(text, "latin1")));
  return post(server.url, more);
};

const textOf = (result: DeliveryResult): string =>
  result.kind === "answered" ? Buffer.from(result.body).toString() : `(${JSON.stringify(result)})`;

/** Sends a piece again and again, as fast as the other side reads, until it goes. */
const flood = (socket: Socket, piece: string): void => {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece)) if (socket.writableLength > 1_000_000) break;
  };
  socket.on("drain", more);
  more();
};

/** Sends a piece at every turn of the event loop. */
const drip = async (socket: Socket, piece: string): Promise<void> => {
  while (!socket.destroyed) {
    socket.write(piece);
    await turn();
  }
};

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

describe("a call that is answered", () => {
  it("sends the method, path, headers and bytes that it was given, and nothing that asks for compression", async () => {
    const server = await serve((socket) => socket.write(ok));
    const result = await post(`${server.url}a/b?c=%20d#e`, {
      headers: { "x-one": "1" },
      body: new Uint8Array([255, 0, 65]),
    });
    expect(result).toMatchObject({ kind: "answered", status: 200, truncated: false });
    expect(textOf(result)).toBe("ok");
    expect(result.durationMs).toBeGreaterThan(0);
    const [head, body] = server.requests[0]!.split("\r\n\r\n") as [string, string];
    expect(head.split("\r\n").sort()).toEqual(
      [
        "POST /a/b?c=%20d HTTP/1.1",
        `host: 127.0.0.1:${server.port}`,
        "connection: keep-alive",
        "x-one: 1",
        "content-length: 3",
      ].sort(),
    );
    expect(body).toBe("\xff\0A");
  });

  it("can be a GET without a body, or a POST of nothing", async () => {
    const server = await serve((socket) => socket.write(ok));
    await post(server.url, { method: "GET", body: "" });
    await post(server.url, { body: "" });
    expect(server.requests[0]).toMatch(/^GET \/ /);
    expect(server.requests[0]).not.toContain("content-length");
    expect(server.requests[1]).toContain("content-length: 0\r\n");
  });

  it("uses its connection again", async () => {
    const server = await serve((socket) => socket.write(ok));
    for (let count = 0; count < 20; count += 1) expect((await post(server.url)).kind).toBe("answered");
    // Two, since undici looks for one before the last answer's has come to rest.
    expect(server.hits()).toBeLessThanOrEqual(2);
  });

  it("opens another one when the other side closed it in between, and loses nothing", async () => {
    const server = await serve((socket) => socket.end(ok));
    for (let count = 0; count < 20; count += 1) expect((await post(server.url)).kind).toBe("answered");
    expect(server.hits()).toBe(20);
  });

  it("does not reuse a connection past the other side's keep-alive hint", async () => {
    const server = await serve((socket) => socket.write(ok.replace("\r\n\r\n", "\r\nkeep-alive: timeout=1\r\n\r\n")));
    await post(server.url);
    await post(server.url);
    expect(server.hits()).toBe(2);
  });

  it.each([301, 302, 307, 308])("is not led elsewhere by a %d", async (status) => {
    const elsewhere = await serve((socket) => socket.write(ok));
    const result = await answeredWith(
      `HTTP/1.1 ${status} X\r\nlocation: ${elsewhere.url}\r\ncontent-length: 0\r\n\r\n`,
    );
    expect(result).toMatchObject({ kind: "answered", status, headers: { location: elsewhere.url } });
    expect(elsewhere.hits()).toBe(0);
  });

  it("keeps headers with lower-case names, repeated ones joined, at most a hundred of them", async () => {
    const many = Array.from({ length: 300 }, (_, index) => `X-${index}: a`).join("\r\n");
    const cookies = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nStrict-Transport-Security: max-age=1\r\n__proto__: x";
    const result = await answeredWith(`HTTP/1.1 200 OK\r\n${cookies}\r\ncontent-length: 0\r\n${many}\r\n\r\n`);
    if (result.kind !== "answered") throw new Error(result.kind);
    expect(result.headers["set-cookie"]).toBe("a=1, b=2");
    expect(Object.keys(result.headers)).toHaveLength(100);
  });

  it.each([200, 204, 304, 404, 410, 429, 500, 503, 600, 999])("tells the status %d as it is", async (status) => {
    const result = await answeredWith(`HTTP/1.1 ${status} X\r\ncontent-length: 0\r\nretry-after: 1, 2\r\n\r\n`);
    expect(result).toMatchObject({ kind: "answered", status, headers: { "retry-after": "1, 2" } });
  });

  it("takes a body that ends with the connection", async () => {
    expect(textOf(await answeredWith("HTTP/1.1 200 OK\r\n\r\nhello", {}, true))).toBe("hello");
  });

  it("takes an early answer to a body that was not read", async () => {
    const early = createServer((request, response) => {
      request.pause();
      response.writeHead(413, { connection: "close" }).end("large");
    });
    await new Promise<void>((resolve) => early.listen(0, "127.0.0.1", resolve));
    const result = await post(`http://127.0.0.1:${(early.address() as AddressInfo).port}/`, {
      body: "x".repeat(1_000_000),
    });
    early.closeAllConnections();
    early.close();
    expect(result).toMatchObject({ kind: "answered", status: 413 });
  });

  it("leaves a compressed body as it came, bomb or not", async () => {
    const bytes = "\x1f\x8b\x08junk";
    for (const encoding of ["gzip", "br", "what"]) {
      const result = await answeredWith(
        `HTTP/1.1 200 OK\r\ncontent-encoding: ${encoding}\r\ncontent-length: ${bytes.length}\r\n\r\n${bytes}`,
      );
      if (result.kind !== "answered") throw new Error(result.kind);
      expect(Buffer.from(result.body).toString("latin1")).toBe(bytes);
    }
  });
});

describe("an answer that is too long", () => {
  it("is cut at the bound, and its connection dropped", async () => {
    const server = await serve((socket, _request, count) => {
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      if (count === 1) flood(socket, `400\r\n${"x".repeat(1_024)}\r\n`);
      else socket.write("1\r\ny\r\n0\r\n\r\n");
    });
    const result = await post(server.url, { maxBodyBytes: 100_000 });
    expect(result).toMatchObject({ kind: "answered", truncated: true });
    expect(textOf(result)).toBe("x".repeat(100_000));
    expect(textOf(await post(server.url))).toBe("y");
    expect(server.requests).toHaveLength(2);
    expect(server.hits()).toBeGreaterThan(1);
  });

  it("is whole at exactly the bound", async () => {
    const result = await answeredWith("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", { maxBodyBytes: 4 });
    expect(result).toMatchObject({ kind: "answered", truncated: false });
    expect(textOf(result)).toBe("abcd");
  });

  it("can be refused altogether", async () => {
    expect(await answeredWith(ok, { maxBodyBytes: 0 })).toMatchObject({
      kind: "answered",
      truncated: true,
      body: Buffer.alloc(0),
    });
  });

  it("does not grow memory when it comes a byte at a time", async () => {
    const bytes = 200_000;
    const before = process.memoryUsage().arrayBuffers;
    const result = await answeredWith(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(bytes)}0\r\n\r\n`,
      { maxBodyBytes: bytes },
    );
    expect(textOf(result)).toHaveLength(bytes);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
  });
});

describe("an answer that is none", () => {
  it.each([
    ["a garbage status line", "hello there\r\n\r\n"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["status 000", "HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n"],
    ["status 99", "HTTP/1.1 99 X\r\ncontent-length: 0\r\n\r\n"],
    ["status 099", "HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n"],
    ["a NUL in the status code", "HTTP/1.1 2\x000 OK\r\ncontent-length: 0\r\n\r\n"],
    ["a NUL in a header", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"],
    ["a broken header", "HTTP/1.1 200 OK\r\nbroken\r\n\r\n"],
    ["a broken chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"],
    ["a length that is none", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"],
    ["an upgrade that nobody asked for", "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"],
    ["headers of 16 MB", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(16_000_000)}\r\n\r\n`],
    ["a header name of 1 MB", `HTTP/1.1 200 OK\r\n${"a".repeat(1_000_000)}: x\r\n\r\n`],
    [
      "trailers without end",
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${"x: aaaaaaaaaa\r\n".repeat(10_000)}`,
    ],
  ])("(%s) is a lost call", async (_name, text) => {
    const result = await answeredWith(text);
    expect(result).toMatchObject({ kind: "lost", message: expect.stringContaining("the connection broke") });
  });

  it.each([
    ["nothing at all", ""],
    ["half a head", "HTTP/1.1 200 OK\r\nconten"],
    ["less than its length", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"],
    ["half a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"],
    ["chunks without the last", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"],
  ])("(%s, then the end) is a lost call", async (_name, text) => {
    expect(await answeredWith(text, {}, true)).toMatchObject({ kind: "lost" });
  });

  it("(a reset before any byte) is a lost call", async () => {
    const server = await serve((socket) => socket.resetAndDestroy());
    expect(await post(server.url)).toMatchObject({
      kind: "lost",
      message: expect.stringContaining("before an answer"),
    });
  });

  it("(a flood of interim answers) is a lost call", async () => {
    const server = await serve((socket) => flood(socket, "HTTP/1.1 102 Processing\r\n\r\n".repeat(100)));
    expect(await post(server.url)).toMatchObject({ kind: "lost", message: "more than 1000 interim answers" });
  });

  it("leaves the next call to the same origin alone", async () => {
    const server = await serve((socket, _request, count) => socket.write(count === 1 ? "nonsense\r\n\r\n" : ok));
    expect((await post(server.url)).kind).toBe("lost");
    expect(textOf(await post(server.url))).toBe("ok");
  });
});

describe("an answer with something behind it", () => {
  it.each([
    ["a body after 204", "HTTP/1.1 204 No Content\r\n\r\nbody"],
    ["a body after 304", "HTTP/1.1 304 Not Modified\r\n\r\nbody"],
    ["more than its length", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokand more"],
    ["a second answer", `${ok}HTTP/1.1 500 Evil\r\ncontent-length: 4\r\n\r\nevil`],
  ])("(%s) counts, and what follows reaches no other call", async (_name, text) => {
    const server = await serve((socket, _request, count) => socket.write(count === 1 ? text : ok));
    expect(await post(server.url)).toMatchObject({ kind: "answered", status: Number(text.slice(9, 12)) });
    expect(textOf(await post(server.url))).toBe("ok");
    expect(server.hits()).toBe(2);
  });

  it("(a reset after the last byte) counts", async () => {
    const server = await serve((socket) => socket.write(ok, () => socket.resetAndDestroy()));
    for (let count = 0; count < 5; count += 1) {
      const result = await post(server.url);
      expect(result).toMatchObject({ kind: "answered", status: 200 });
    }
  });

  it("(interim answers before it) counts", async () => {
    const interim = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    expect(textOf(await answeredWith(interim + ok))).toBe("ok");
  });
});

describe("a time limit", () => {
  const endless: [string, AnswerFn][] = [
    ["no bytes", () => undefined],
    ["half a head", (socket) => socket.write("HTTP/1.1 200 OK\r\n")],
    ["a head only", (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")],
    ["a status line without end", (socket) => flood(socket, "HTTP/1.1 200 OK".repeat(1_000))],
    [
      "a chunk extension without end",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;");
        flood(socket, "a".repeat(10_000));
      },
    ],
    ["line breaks without end", (socket) => flood(socket, "\r\n".repeat(10_000))],
    [
      "headers that drip",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\n");
        void drip(socket, "\r");
      },
    ],
    [
      "a body that drips",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        void drip(socket, " ");
      },
    ],
  ];

  it.each(endless)("is total, so that %s ends in time", async (_name, answer) => {
    const server = await serve(answer);
    const result = await post(server.url, { timeoutMs: 100, maxBodyBytes: 10_000_000 });
    expect(["timed-out", "lost"]).toContain(result.kind);
    expect(result.durationMs).toBeLessThan(1_000);
  });

  it("says which limit it was", async () => {
    const server = await serve(() => undefined);
    expect(await post(server.url, { timeoutMs: 50 })).toMatchObject({ kind: "timed-out", limit: "total" });
    expect(await post(server.url, { idleTimeoutMs: 50 })).toMatchObject({ kind: "timed-out", limit: "idle" });
  });

  it("on silence is put off by each sign of life", async () => {
    const server = await serve(async (socket) => {
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      const until = performance.now() + 800;
      while (performance.now() < until) {
        socket.write("1\r\n \r\n");
        await turn();
      }
      socket.write("2\r\nok\r\n0\r\n\r\n");
    });
    const result = await post(server.url, { idleTimeoutMs: 500, maxBodyBytes: 50_000_000 });
    expect(textOf(result).trim()).toBe("ok");
    expect(result.durationMs).toBeGreaterThan(700);
  });

  it("closes the connection, and gives back its place", async () => {
    let closed = (): void => undefined;
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const server = await serve((socket, _request, count) => {
      if (count > 1) return socket.write(ok);
      return socket.on("close", closed);
    });
    expect((await post(server.url, { timeoutMs: 50 })).kind).toBe("timed-out");
    await gone;
    expect(textOf(await post(server.url))).toBe("ok");
  });
});

describe("a call that is aborted", () => {
  it("ends at once, before or after it is sent", async () => {
    const stop = new Stop();
    const server = await serve(() => stop.ask());
    expect(await post(server.url, { stop })).toMatchObject({ kind: "aborted" });
    expect(await post(server.url, { stop })).toMatchObject({ kind: "aborted" });
    expect(server.hits()).toBe(1);
  });

  it("is what closing the pools makes of those under way, and of later ones", async () => {
    const server = await serve(() => void pools.close());
    expect(await post(server.url)).toMatchObject({ kind: "aborted" });
    expect(await post(server.url)).toMatchObject({ kind: "aborted" });
  });
});

describe("a call that reaches nobody", () => {
  it("is refused where nobody listens", async () => {
    const server = await rawServer(() => undefined);
    await server.close();
    expect(await post(server.url)).toMatchObject({ kind: "unreached", reason: "refused" });
  });

  it("is not sent with a header that a secret broke", async () => {
    const server = await serve((socket) => socket.write(ok));
    const result = await post(server.url, { headers: { authorization: "Bearer a\r\nx-evil: 1" } });
    expect(result).toMatchObject({ kind: "unreached", reason: "blocked" });
    expect(JSON.stringify(result)).not.toContain("evil");
    expect(server.requests).toHaveLength(0);
  });
});
