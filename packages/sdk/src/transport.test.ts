import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { RotorConnectionError } from "./errors.js";
import * as node from "./transport.node.js";
import * as portable from "./transport.portable.js";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; server: Server }> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/path?q=1`, server };
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  response.writeHead(201, { "x-kind": ["a", "b"] });
  response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
}

const POST = { method: "POST", body: "{}", timeoutMs: 20_000 } as const;

describe.each([
  ["node:http", node.send],
  ["fetch", portable.send],
])("a request over %s", (_, send) => {
  test("carries method, path, headers and text or bytes, and its answer status, headers and text", async () => {
    const { url } = await listen(echo);
    const headers = { "content-type": "application/json", authorization: "Bearer x" };
    for (const body of ["Zoë", new TextEncoder().encode("Zoë")]) {
      const answer = await send(url, { method: "PUT", headers, body, timeoutMs: 20_000 });
      expect([answer.status, answer.header("x-kind"), answer.header("x-none")]).toEqual([201, "a, b", undefined]);
      expect(JSON.parse(answer.text)).toMatchObject({
        method: "PUT",
        url: "/path?q=1",
        body: "Zoë",
        headers: { ...headers, "content-length": "4" },
      });
    }
    const get = await send(url, { method: "GET", timeoutMs: 20_000 });
    expect(JSON.parse(get.text)).toMatchObject({ method: "GET", body: "" });
  });

  test("takes a redirect as the answer", async () => {
    const { url } = await listen((_request, response) => response.writeHead(302, { location: "/x" }).end());
    expect((await send(url, POST)).status).toBe(302);
  });

  test("ends at its time limit, also in the middle of the answer's body", async () => {
    const { url } = await listen((request, response) => {
      if (request.method === "PUT") response.write("begun");
    });
    for (const method of ["POST", "PUT"]) {
      const error = await send(url, { ...POST, method, timeoutMs: 40 }).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(RotorConnectionError);
      expect(error).toMatchObject({ reason: "timeout", message: expect.stringMatching(/within 40 ms$/) });
    }
  });

  test("ends with the signal's reason, before it is sent or while it waits", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const { url } = await listen(() => controller.abort(reason));
    await expect(send(url, { ...POST, signal: controller.signal })).rejects.toBe(reason);
    await expect(send(url, { ...POST, signal: controller.signal })).rejects.toBe(reason);
  });

  test("whose connection is cut in the middle of an answer is lost, and the cut answer is not taken for a whole one", async () => {
    const { url } = await listen((request, response) => {
      response.writeHead(200, { "content-length": 10 }).write("half", () => request.socket.destroy());
    });
    await expect(send(url, POST)).rejects.toMatchObject({ name: "RotorConnectionError", reason: "lost" });
  });

  test("leaves no listener on a signal that outlives it", async () => {
    const { url } = await listen(echo);
    const controller = new AbortController();
    let listeners = 0;
    const add = controller.signal.addEventListener.bind(controller.signal);
    const remove = controller.signal.removeEventListener.bind(controller.signal);
    controller.signal.addEventListener = (...call: Parameters<typeof add>) => {
      listeners += 1;
      add(...call);
    };
    controller.signal.removeEventListener = (...call: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...call);
    };
    await send(url, { ...POST, signal: controller.signal });
    expect(listeners).toBe(0);
  });
});

describe("connections of node:http", () => {
  test("that nothing listens for are unreachable, so nothing was sent", async () => {
    const { url, server } = await listen(echo);
    server.close();
    await once(server, "close");
    await expect(node.send(url, POST)).rejects.toMatchObject({
      reason: "unreachable",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test("are kept and used again", async () => {
    const { url, server } = await listen(echo);
    let connections = 0;
    server.on("connection", () => {
      connections += 1;
    });
    for (let i = 0; i < 5; i++) await node.send(url, POST);
    expect(connections).toBe(1);
  });

  // A server that closes a kept connection when the second request arrives: what a client sees when the server's idle
  // time ends just as a request is written.
  async function closingServer(): Promise<{ url: string; requests: () => number }> {
    const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let requests = 0;
    const server = createTcpServer((socket: Socket) => {
      let onThisConnection = 0;
      socket.on("error", () => undefined);
      socket.on("data", () => {
        requests += 1;
        onThisConnection += 1;
        if (onThisConnection === 1) socket.write(ok);
        else socket.resetAndDestroy();
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests: () => requests };
  }

  test("that the server closed between requests cost a repeatable request nothing", async () => {
    const { url, requests } = await closingServer();
    await node.send(url, { method: "GET", timeoutMs: 20_000 });
    const answer = await node.send(url, { method: "GET", timeoutMs: 20_000, repeatable: true });
    expect([answer.status, answer.text, requests()]).toEqual([200, "ok", 3]);
  });

  test("that the server closed between requests are told to one that may not be repeated", async () => {
    const { url, requests } = await closingServer();
    await node.send(url, { method: "GET", timeoutMs: 20_000 });
    await expect(node.send(url, { method: "GET", timeoutMs: 20_000 })).rejects.toMatchObject({ reason: "lost" });
    expect(requests()).toBe(2);
  });

  test("are never more than fifty to one server", async () => {
    let open = 0;
    let most = 0;
    const waiting: ServerResponse[] = [];
    const { url } = await listen((_request, response) => {
      open += 1;
      most = Math.max(most, open);
      waiting.push(response);
      response.on("close", () => {
        open -= 1;
      });
      if (waiting.length === 50) for (const one of waiting.splice(0)) one.end();
    });
    await Promise.all(Array.from({ length: 100 }, () => node.send(url, POST)));
    expect(most).toBe(50);
  });
});

test("a checkpoint does not queue behind requests that the server holds", async () => {
  const held: ServerResponse[] = [];
  let all = () => {};
  const full = new Promise<void>((resolve) => (all = resolve));
  const { url } = await listen((request, response) => {
    if (request.method === "POST") return void response.end("stored");
    held.push(response);
    if (held.length === 50) all();
  });
  const polls = Array.from({ length: 60 }, () => node.send(url, { method: "GET", timeoutMs: 20_000 }));
  await full;
  expect((await node.send(url, { ...POST, timeoutMs: 2_000, apart: true })).text).toBe("stored");
  for (let done = 0; done < 60; done++) {
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
    held.shift()!.end();
  }
  await Promise.all(polls);
});
