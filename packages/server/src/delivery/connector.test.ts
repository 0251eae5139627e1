import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { guardedConnector, type Resolve } from "./connector.js";
import { type DeliveryResult, deliver } from "./deliver.js";
import { type Policy, parsePolicy, publicOnly } from "./guard.js";
import { ownService } from "./own-services.js";
import { Pools, type PoolsOptions } from "./pools.js";
import { goodTestCertificate, goodTestKey } from "./testing-kit/certificate.js";
import { type RawServer, rawServer } from "./testing-kit/raw-server.js";

const closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/** Two listeners on one port: 127.0.0.1, which a policy may list, and 127.0.0.2, which none here does. */
let open: RawServer;
let inside: RawServer;
let pools: Pools | undefined;

beforeEach(async () => {
  for (;;) {
    inside = await rawServer((socket) => socket.end(closing), { host: "127.0.0.2" });
    try {
      open = await rawServer((socket) => socket.end(closing), { port: inside.port });
      return;
    } catch (error) {
      // Free at one address, taken at the other: by a test of another file, for instance.
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      await inside.close();
    }
  }
});

afterEach(async () => {
  await pools?.close();
  await Promise.all([open.close(), inside.close()]);
});

const onlyOpen = parsePolicy("127.0.0.1");

const post = (url: string, policy: Policy, more: Partial<PoolsOptions> = {}): Promise<DeliveryResult> => {
  pools ??= new Pools({ policy, ...more });
  return deliver(pools, { url, headers: {}, body: "{}", timeoutMs: 2_000, maxBodyBytes: 1_024 });
};

/** What the operator's log is told. */
let told: string[] = [];
const onBlocked = (reason: string): void => void told.push(reason);

/** What an attempt says of a blocked address, and of a closed port. */
const refused = (host: string) => ({
  kind: "unreached",
  reason: "refused",
  message: `${host} refused the connection, or has an address that ROTOR_ALLOW_PRIVATE_URLS does not open to deliveries`,
});

beforeEach(() => {
  pools = undefined;
  told = [];
});

const answering = (...answers: readonly (readonly string[])[]): Resolve & { asked: string[] } => {
  const asked: string[] = [];
  const resolve = async (host: string): Promise<readonly string[]> => {
    asked.push(host);
    return answers[Math.min(asked.length, answers.length) - 1]!;
  };
  return Object.assign(resolve, { asked });
};

describe("a name", () => {
  it("is connected to at the address that was checked, with its own name as host", async () => {
    const resolve = answering(["127.0.0.1"]);
    const result = await post(`http://app.test:${open.port}/x`, onlyOpen, { resolve });
    expect(result).toMatchObject({ kind: "answered", status: 200 });
    expect(open.requests[0]).toContain(`host: app.test:${open.port}\r\n`);
    expect(resolve.asked).toEqual(["app.test"]);
  });

  it.each([
    ["a blocked address", ["127.0.0.2"]],
    ["a blocked address among good ones", ["127.0.0.1", "127.0.0.2"]],
    ["a good address before fifty, one of them blocked", [...new Array<string>(50).fill("127.0.0.1"), "127.0.0.2"]],
    ["a mapped address", ["::ffff:127.0.0.2"]],
    ["a NAT64 address", ["64:ff9b::7f00:2"]],
    ["a metadata address", ["169.254.169.254"]],
    ["text that is no address", ["127.2"]],
    ["a public address, by http", ["8.8.8.8"]],
  ])("that resolves to %s is never connected to", async (_name, addresses) => {
    const resolve = answering(addresses);
    expect(await post(`http://app.test:${open.port}/`, onlyOpen, { resolve, onBlocked })).toMatchObject(
      refused("app.test"),
    );
    expect(told).toEqual([expect.stringContaining(`app.test resolves to ${addresses.at(-1)}`)]);
    expect([open.hits(), inside.hits()]).toEqual([0, 0]);
  });

  it("that changes its address between two attempts is refused at the second", async () => {
    const resolve = answering(["127.0.0.1"], ["127.0.0.2"]);
    const url = `http://rebind.test:${open.port}/`;
    expect(await post(url, onlyOpen, { resolve })).toMatchObject({ kind: "answered" });
    expect(await post(url, onlyOpen)).toMatchObject(refused("rebind.test"));
    expect([open.hits(), inside.hits()]).toEqual([1, 0]);
  });

  it("that would change between check and connect is asked for once a connection", async () => {
    const resolve = answering(["127.0.0.1"], ["127.0.0.2"]);
    expect(await post(`http://flip.test:${open.port}/`, onlyOpen, { resolve })).toMatchObject({ kind: "answered" });
    expect(resolve.asked).toHaveLength(1);
    expect(inside.hits()).toBe(0);
  });

  it("is reached at its second address when nobody listens at the first", async () => {
    const resolve = answering(["127.0.0.3", "127.0.0.1"]);
    const policy = parsePolicy("127.0.0.1,127.0.0.3");
    expect(await post(`http://two.test:${open.port}/`, policy, { resolve })).toMatchObject({ kind: "answered" });
  });

  it("without an address, or whose server fails, is a matter of DNS", async () => {
    const fails: Resolve = async () => {
      throw new Error("SERVFAIL");
    };
    expect(await post("https://gone.test/", publicOnly, { resolve: fails })).toMatchObject({
      kind: "unreached",
      reason: "dns",
      message: "gone.test could not be resolved: SERVFAIL",
    });
    pools = undefined;
    expect(await post("https://empty.test/", publicOnly, { resolve: answering([]) })).toMatchObject({ reason: "dns" });
  });

  it("that resolves too slowly is given up, and not connected to later", async () => {
    let answer: (addresses: readonly string[]) => void = () => undefined;
    const slow: Resolve = () => new Promise((resolve) => (answer = resolve));
    const url = `http://slow.test:${open.port}/`;
    const result = await post(url, onlyOpen, { resolve: slow, connectTimeoutMs: 50 });
    expect(result).toMatchObject({ kind: "unreached", reason: "connect-timeout" });
    answer(["127.0.0.1"]);
    pools = undefined;
    await post(`http://127.0.0.1:${open.port}/`, onlyOpen);
    expect(open.hits()).toBe(1);
  });

  it("that resolves after the call's own time is unreached, and nothing is sent late", async () => {
    let answer: (addresses: readonly string[]) => void = () => undefined;
    pools = new Pools({
      policy: onlyOpen,
      resolve: () => new Promise((resolve) => (answer = resolve)),
      connections: 1,
    });
    const call = { headers: {}, maxBodyBytes: 1_024, url: `http://late.test:${open.port}/` };
    expect(await deliver(pools, { ...call, body: "late", timeoutMs: 50 })).toMatchObject({
      kind: "unreached",
      reason: "connect-timeout",
      message: "no connection came about within the time limit of 50 ms",
    });
    answer(["127.0.0.1"]);
    expect(await deliver(pools, { ...call, body: "next", timeoutMs: 2_000 })).toMatchObject({ kind: "answered" });
    expect(open.requests).toHaveLength(1);
    expect(open.requests[0]).toContain("next");
  });
});

describe("a literal address", () => {
  it.each(["http://127.0.0.2", "http://0x7f000002", "http://[::ffff:127.0.0.2]"])(
    "%s is never connected to",
    async (origin) => {
      expect(await post(`${origin}:${inside.port}/`, onlyOpen, { onBlocked })).toMatchObject({ reason: "refused" });
      expect(told).toEqual([expect.stringContaining("is a loopback address")]);
      expect(inside.hits()).toBe(0);
    },
  );

  it("is checked by the connector itself, too, which Node's lookup is not asked about", async () => {
    const options = { policy: onlyOpen, resolve: answering([]), connectTimeoutMs: 1_000, onBlocked };
    const target = { protocol: "http:", hostname: "127.0.0.2", port: String(inside.port) };
    const failure = await new Promise((done) =>
      guardedConnector(new URL(inside.url), options)(target, (...[error]) => done(error)),
    );
    expect(failure).toMatchObject({ reason: "refused", message: refused("127.0.0.2").message });
    expect(told).toEqual([expect.stringContaining("127.0.0.2 is a loopback address")]);
    expect(inside.hits()).toBe(0);
  });

  it("that a redirect points to is not followed", async () => {
    const redirecting = await rawServer((socket) =>
      socket.end(`HTTP/1.1 307 X\r\nlocation: http://127.0.0.2:${inside.port}/\r\ncontent-length: 0\r\n\r\n`),
    );
    expect(await post(redirecting.url, onlyOpen)).toMatchObject({ kind: "answered", status: 307 });
    expect(inside.hits()).toBe(0);
    await redirecting.close();
  });
});

describe("a port of our own", () => {
  it("is never connected to, though its address is open, by name or number", async () => {
    const policy = { ...onlyOpen, own: [ownService("127.0.0.1", open.port)] };
    const resolve = answering(["127.0.0.1"]);
    for (const host of ["127.0.0.1", "app.test", "localhost", "[::ffff:127.0.0.1]"]) {
      told = [];
      await pools?.close();
      pools = undefined;
      expect(await post(`http://${host}:${open.port}/`, policy, { resolve, onBlocked })).toMatchObject({
        reason: "refused",
      });
      expect(told).toEqual([expect.stringContaining("is this server itself, or its database")]);
    }
    expect(open.hits()).toBe(0);
  });

  it("says as much as one at which nobody listens", async () => {
    const blocked = await post(`http://127.0.0.2:${inside.port}/`, onlyOpen);
    pools = undefined;
    await inside.close();
    const closed = await post(`http://127.0.0.2:${inside.port}/`, parsePolicy("loopback"));
    expect({ ...closed, durationMs: 0 }).toEqual({ ...blocked, durationMs: 0 });
    inside = await rawServer((socket) => socket.end(closing), { host: "127.0.0.2" });
  });
});

describe("a proxy in the environment", () => {
  it("is not used", async () => {
    const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "NODE_USE_ENV_PROXY"];
    for (const name of names) process.env[name] = inside.url;
    try {
      expect(await post(open.url, onlyOpen)).toMatchObject({ kind: "answered" });
      expect(inside.hits()).toBe(0);
    } finally {
      for (const name of names) delete process.env[name];
    }
  });
});

describe("TLS", () => {
  const serving = async (use: (port: number, names: string[]) => Promise<void>, version?: "TLSv1"): Promise<void> => {
    const names: string[] = [];
    const server = createTlsServer(
      {
        key: goodTestKey,
        cert: goodTestCertificate,
        ...(version && { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" }),
      },
      (request, response) => {
        names.push(`${(request.socket as { servername?: string }).servername} ${request.headers.host}`);
        response.end("ok");
      },
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await use((server.address() as AddressInfo).port, names);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };
  const resolve = answering(["127.0.0.1"]);

  it("asks for the name, not the address, and checks it", () =>
    serving(async (port, names) => {
      const result = await post(`https://good.test:${port}/`, onlyOpen, { resolve, ca: goodTestCertificate });
      expect(result).toMatchObject({ kind: "answered", status: 200 });
      expect(names).toEqual([`good.test good.test:${port}`]);
    }));

  it.each([
    ["a certificate for another name", "https://bad.test", goodTestCertificate],
    ["a certificate that nobody vouches for", "https://good.test", undefined],
    ["a certificate without the address that was asked for", "https://127.0.0.1", goodTestCertificate],
  ])("with %s is no connection, and nothing is sent", (_name, origin, ca) =>
    serving(async (port, names) => {
      expect(await post(`${origin}:${port}/`, onlyOpen, { resolve, ca })).toMatchObject({
        kind: "unreached",
        reason: "tls",
      });
      expect(names).toEqual([]);
    }),
  );

  it("of 1999 is no connection", () =>
    serving(async (port) => {
      const result = await post(`https://good.test:${port}/`, onlyOpen, { resolve, ca: goodTestCertificate });
      expect(result).toMatchObject({ kind: "unreached", reason: "tls" });
    }, "TLSv1"));

  it("is not left off because the environment says so", () =>
    serving(async (port) => {
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
      try {
        expect(await post(`https://good.test:${port}/`, onlyOpen, { resolve })).toMatchObject({ reason: "tls" });
      } finally {
        delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      }
    }));

  it("to something that does not speak it is no connection", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    expect(await post(`https://127.0.0.1:${port}/`, onlyOpen)).toMatchObject({ kind: "unreached", reason: "tls" });
    server.close();
  });
});
