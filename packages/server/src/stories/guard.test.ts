/**
 * Where deliveries never go, on a whole server whose settings open 127.0.0.1 and nothing else: as a literal and by a
 * name, when it is written and at each attempt, by redirects and by names that change their mind. A listener on every
 * address of this machine counts who comes, and each connection that this process tries is noted, wherever to.
 */
import diagnostics from "node:diagnostics_channel";
import type { Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { refusedBy } from "../delivery/connector.js";
import { type DnsServer, dnsServer } from "../delivery/testing-kit/dns-server.js";
import { manifestOf } from "../http/testing-kit/api.js";
import { syncApp } from "../store/apps.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { afterDeliveries, enqueueTo } from "./testing-kit/delivered.js";

/** An address of each class, and how the class is called. */
const CLOSED: readonly (readonly [address: string, kind: string])[] = [
  ["127.0.0.2", "loopback"],
  ["127.255.255.254", "loopback"],
  ["::1", "loopback"],
  ["10.0.0.1", "private"],
  ["172.16.0.1", "private"],
  ["172.31.255.254", "private"],
  ["192.168.0.1", "private"],
  ["fd00::1", "unique-local"],
  ["fc00::1", "unique-local"],
  ["169.254.1.1", "link-local"],
  ["fe80::1", "link-local"],
  ["169.254.169.254", "metadata"],
  ["169.254.170.2", "metadata"],
  ["100.100.100.200", "metadata"],
  ["192.0.0.192", "metadata"],
  ["168.63.129.16", "metadata"],
  ["fd00:ec2::254", "metadata"],
  ["100.64.0.1", "carrier-nat"],
  ["100.127.255.254", "carrier-nat"],
  ["192.0.0.1", "protocol-assignment"],
  ["192.0.2.1", "documentation"],
  ["198.51.100.1", "documentation"],
  ["203.0.113.1", "documentation"],
  ["2001:db8::1", "documentation"],
  ["198.18.0.1", "benchmark"],
  ["198.19.255.254", "benchmark"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.250", "multicast"],
  ["ff02::1", "multicast"],
  ["255.255.255.255", "broadcast"],
  ["0.0.0.0", "unspecified"],
  ["::", "unspecified"],
  ["0.1.2.3", "reserved"],
  ["240.0.0.1", "reserved"],
  ["::7f00:1", "reserved"],
  ["::ffff:127.0.0.2", "loopback"],
  ["::ffff:10.0.0.1", "private"],
  ["::ffff:169.254.169.254", "metadata"],
  ["64:ff9b::7f00:2", "loopback"],
  ["64:ff9b::a9fe:a9fe", "metadata"],
  ["64:ff9b:1::7f00:1", "tunnel"],
  ["2002:7f00:1::", "tunnel"],
  ["2001::7f00:1", "tunnel"],
];

/** What this machine is called beside that: no class of its own, but somebody listens there. */
const OWN = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .filter(({ internal }) => !internal)
  .map(({ address }) => address);

const bracketed = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);

let server: TestServer;
let dns: DnsServer;
/** Listens on all addresses. */
let listener: Server;
let port: number;
/** Requests that the listener got, by the address that they came in on. */
let came: { to: string; path: string }[] = [];
/** Connections that the listener got. */
let connections = 0;
/** What each name stands for, by how often it was looked up. */
const names = new Map<string, (before: number) => readonly string[]>();
/** Connections that this process tried, to the listener's port or a default one: `address port`. */
let tried: string[] = [];
const onSocket = (message: unknown): void => {
  const { socket } = message as { socket: Socket };
  socket.on("connectionAttempt", (ip: string, to: number) => {
    if ([port, 80, 443].includes(to)) tried.push(`${ip} ${to}`);
  });
};

beforeAll(async () => {
  listener = createServer((request, response) => {
    came.push({ to: request.socket.localAddress!, path: request.url! });
    const [, status, location] = /^\/(\d+)\?to=(.+)$/.exec(request.url!) ?? [];
    response.setHeader("connection", "close");
    if (location === undefined) response.writeHead(request.url === "/fails" ? 500 : 200).end("reached");
    else response.writeHead(Number(status), { location: decodeURIComponent(location) }).end();
  });
  listener.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => listener.listen(0, resolve));
  port = (listener.address() as AddressInfo).port;
  dns = await dnsServer((name, before) => names.get(name)?.(before));
  server = await testServer({ ROTOR_ALLOW_PRIVATE_URLS: "127.0.0.1" }, { resolve: dns.resolve });
  diagnostics.subscribe("net.client.socket", onSocket);
});

afterAll(async () => {
  diagnostics.unsubscribe("net.client.socket", onSocket);
  await server.close();
  await dns.close();
  listener.closeAllConnections();
  await new Promise((resolve) => listener.close(resolve));
});

beforeEach(() => {
  came = [];
  tried = [];
  connections = 0;
});

const ONCE = { retry: { maxAttempts: 1 } } as const;
const TWICE = { retry: { maxAttempts: 2, backoff: ["1ms"], jitter: "none" } } as const;

let edited = 0;

/** Jobs of queues whose rows were edited by hand, so that only the attempts can refuse them; each at its end. */
async function attempted(urls: readonly string[]) {
  const queues = urls.map(() => `edited-${++edited}`);
  await Promise.all(queues.map((name) => server.rotor.queues.create(name, TWICE)));
  await server.db.query(
    {
      name: "test.edit",
      text: `update ${server.schema}.queues queue set url = item.url
               from unnest($1::text[], $2::text[]) as item (name, url) where queue.name = item.name`,
    },
    [queues, [...urls]],
  );
  const refs = await Promise.all(queues.map((queue) => server.rotor.jobs.enqueue(queue)));
  const unfinished = "select 1 from rotor.jobs where due_at is not null limit 1";
  await eventually("the end of all", async () => (await server.db.script(unfinished)).rows.length === 0, 8_000);
  return Promise.all(refs.map(({ queue, id }) => server.rotor.jobs.get(queue, id)));
}

/** How both attempts of a job look that was let out nowhere. */
const refusedTwice = (host: string) => {
  const error = { name: "UnreachableError", message: refusedBy(host), code: "refused" };
  return {
    state: "failed",
    error,
    deliveries: [
      { status: null, error },
      { status: null, error },
    ],
  };
};

test("what is open is reached, and counted and noted: the other tests would see it", async () => {
  names.set("open.test", () => ["127.0.0.1"]);
  for (const host of ["127.0.0.1", "open.test", "[::ffff:127.0.0.1]"]) {
    const job = await afterDeliveries(server, await enqueueTo(server, `http://${host}:${port}/`));
    expect([job.state, job.output]).toEqual(["completed", "reached"]);
  }
  expect(came).toHaveLength(3);
  expect(tried.map((each) => each.replace(/^::ffff:7f00:1/, "127.0.0.1"))).toEqual(
    new Array(3).fill(`127.0.0.1 ${port}`),
  );
  // Connected to, though nobody there speaks TLS: of such ones the listener alone knows.
  const { error } = await afterDeliveries(server, await enqueueTo(server, `https://127.0.0.1:${port}/`, ONCE));
  expect([error!.code, connections]).toEqual(["tls", 4]);
});

describe("when it is written", () => {
  test("a closed address is refused at every door, with the address, its class and the setting", async () => {
    const doors: [method: "POST" | "PATCH" | "PUT", path: string, body: (url: string) => object][] = [
      ["POST", "/v1/queues", (url) => ({ name: "never", callback_url: url })],
      ["PUT", "/v1/queues/never", (url) => ({ callback_url: url })],
      ["PATCH", "/v1/queues/is", (url) => ({ callback_url: url })],
      ["POST", "/v1/functions/sync", (url) => ({ url })],
      ["POST", "/v1/functions", (url) => ({ id: "never", serve_url: url })],
    ];
    await server.rotor.queues.create("is", { callbackUrl: `http://127.0.0.1:${port}/` });
    for (const [address, kind] of CLOSED) {
      for (const [method, path, body] of doors) {
        const text = JSON.stringify(body(`https://${bracketed(address)}:${port}/`));
        const answer = await fetch(server.baseUrl + path, {
          method,
          headers: { "content-type": "application/json" },
          body: text,
        });
        const { error } = (await answer.json()) as { error: { message: string } };
        expect([method, path, address, answer.status]).toEqual([method, path, address, 422]);
        expect(error.message).toMatch(new RegExp(`is an? ${kind} address; deliveries .*ROTOR_ALLOW_PRIVATE_URLS`));
      }
    }
    await expect(server.rotor.queues.get("never")).rejects.toMatchObject({ status: 404 });
    expect((await server.rotor.queues.get("is")).callbackUrl).toBe(`http://127.0.0.1:${port}/`);
    expect([came, tried, connections]).toEqual([[], [], 0]);
  });

  test.each([
    "http://2130706434",
    "http://0x7f000002",
    "http://0177.0.0.2",
    "http://127.2",
    "http://0",
    "http://①②⑦.⓪.⓪.②",
    "http://127。0。0。2",
    "http://metadata.google.internal",
    "http://user:pass@127.0.0.1",
    "http://127.0.0.1@127.0.0.2",
    "http://a\\@b",
    "http://8.8.8.8",
    "https://127.0.0.1:0",
    "https://127.0.0.1:22",
    "https://127.0.0.1:25",
    "//127.0.0.1",
    "file:///etc/passwd",
    "gopher://127.0.0.1",
    "ftp://127.0.0.1",
    "data:text/plain,x",
    "javascript:alert(1)",
    "unix:/var/run/docker.sock",
    "https://exa\tmple.com",
    "https://a\u00adb.com",
    `https://example.com/${"a".repeat(10_000)}`,
  ])("%s is refused", async (url) => {
    await expect(server.rotor.queues.create("trick", { callbackUrl: url })).rejects.toMatchObject({ status: 422 });
  });

  test("the server's own port is refused, open as its address is", async () => {
    await expect(server.rotor.queues.create("own", { callbackUrl: server.baseUrl })).rejects.toMatchObject({
      status: 422,
      message: expect.stringContaining("is this server itself"),
    });
  });
});

describe("at each attempt, whatever the row says", () => {
  test("a closed address is not connected to, and says as little as a closed port", async () => {
    const addresses = [...CLOSED.map(([address]) => address), ...OWN];
    const local = ["127.0.0.2", "::1", "0.0.0.0", "::", "::ffff:127.0.0.2", ...OWN];
    const jobs = await attempted([
      ...addresses.map((address) => `http://${bracketed(address)}:${port}/`),
      ...local.map((address) => `https://${bracketed(address)}:${port}/`),
      `http://8.8.8.8:${port}/`,
      `http://[2606:4700::1111]:${port}/`,
    ]);
    for (const job of jobs)
      expect(job).toMatchObject(
        refusedTwice(new URL(job.deliveries![0]!.request!.url).hostname.replace(/^\[|\]$/g, "")),
      );
    expect([came, tried, connections]).toEqual([[], [], 0]);
  });

  test("a name with a closed address is not connected to", async () => {
    const addresses = [...CLOSED.map(([address]) => address), ...OWN];
    for (const [index, address] of addresses.entries()) names.set(`closed-${index}.test`, () => [address]);
    const jobs = await attempted(addresses.map((_, index) => `http://closed-${index}.test:${port}/`));
    for (const [index, job] of jobs.entries()) expect(job).toMatchObject(refusedTwice(`closed-${index}.test`));
    expect([came, tried, connections]).toEqual([[], [], 0]);
    // Each attempt asked anew.
    for (const index of addresses.keys()) expect(dns.asked(`closed-${index}.test`)).toBe(2);
  });

  test("one closed address among open ones closes the name", async () => {
    names.set("many.test", () => [...new Array<string>(49).fill("127.0.0.1"), "10.0.0.7"]);
    names.set("first.test", () => ["192.168.1.1", ...new Array<string>(20).fill("127.0.0.1")]);
    names.set("both.test", () => ["127.0.0.1", "::1"]);
    const hosts = ["many.test", "first.test", "both.test"];
    const jobs = await attempted(hosts.map((host) => `http://${host}:${port}/`));
    for (const [index, job] of jobs.entries()) expect(job).toMatchObject(refusedTwice(hosts[index]!));
    expect([came, tried, connections]).toEqual([[], [], 0]);
  });

  test("a name that turns inward after the first attempt is refused at the second", async () => {
    for (const [index, [address]] of CLOSED.entries())
      names.set(`turns-${index}.test`, (before) => [before === 0 ? "127.0.0.1" : address]);
    const jobs = await attempted(CLOSED.map((_, index) => `http://turns-${index}.test:${port}/fails`));
    for (const [index, job] of jobs.entries()) {
      expect(job.deliveries).toMatchObject([{ status: 500 }, { status: null, error: { code: "refused" } }]);
      expect(job.error!.message).toBe(refusedBy(`turns-${index}.test`));
    }
    expect(came).toHaveLength(CLOSED.length);
    expect(new Set(tried)).toEqual(new Set([`127.0.0.1 ${port}`]));
  });

  test("a name that flips with every look-up is connected to where it was checked", async () => {
    names.set("flips.test", (before) => [before % 2 === 0 ? "127.0.0.1" : "127.0.0.2"]);
    const [job] = await attempted([`http://flips.test:${port}/`]);
    expect(job).toMatchObject({ state: "completed" });
    expect(dns.asked("flips.test")).toBe(1);
    expect(tried).toEqual([`127.0.0.1 ${port}`]);
  });

  test("a redirect to a closed address is not followed, whatever its status", async () => {
    const targets = CLOSED.map(([address]) => `http://${bracketed(address)}:${port}/inside`);
    const statuses = [301, 302, 303, 307, 308];
    const jobs = await attempted(
      targets.map((to, index) => {
        const status = statuses[index % statuses.length];
        return `http://127.0.0.1:${port}/${status}?to=${encodeURIComponent(to)}`;
      }),
    );
    for (const [index, job] of jobs.entries()) {
      expect(job).toMatchObject({
        state: "failed",
        deliveries: [{ response: { headers: { location: targets[index] } } }, {}],
      });
    }
    expect(came.filter(({ path }) => path === "/inside")).toEqual([]);
    expect(new Set(tried)).toEqual(new Set([`127.0.0.1 ${port}`]));
  });

  test("a URL that is written as another address, or is none, is judged as what it is", async () => {
    const jobs = await attempted([
      ...["2130706434", "0x7f000002", "0177.0.0.2", "127.2", "①②⑦.⓪.⓪.②"].map((host) => `http://${host}:${port}/`),
      `http://127.0.0.1@127.0.0.2:${port}/`,
      `http://user:pass@127.0.0.1:${port}/`,
      `ftp://127.0.0.1:${port}/`,
      "file:///etc/passwd",
      "http://127.0.0.1:25/",
      "",
    ]);
    for (const job of jobs) expect(job).toMatchObject({ state: "failed", error: { name: "UnreachableError" } });
    for (const job of jobs.slice(0, 5)) expect(job).toMatchObject(refusedTwice("127.0.0.2"));
    expect([came, tried, connections]).toEqual([[], [], 0]);
  });

  test("the server's own port is refused, by a name, too", async () => {
    const own = new URL(server.baseUrl).port;
    names.set("self.test", () => ["127.0.0.1"]);
    const jobs = await attempted([`${server.baseUrl}/v1/queues`, `http://self.test:${own}/`]);
    for (const [index, job] of jobs.entries())
      expect(job).toMatchObject(refusedTwice(["127.0.0.1", "self.test"][index]!));
  });

  test("apps and webhooks are no other doors, by a name, a redirect or a row", async () => {
    names.set("inside.test", () => ["127.0.0.2"]);
    const inside = `http://127.0.0.2:${port}/inside`;
    const post = async (path: string, body: object): Promise<number> => {
      const headers = { "content-type": "application/json" };
      return (await fetch(server.baseUrl + path, { method: "POST", headers, body: JSON.stringify(body) })).status;
    };
    for (const url of [
      `http://inside.test:${port}/inside`,
      `http://127.0.0.1:${port}/307?to=${encodeURIComponent(inside)}`,
    ])
      for (const path of ["/v1/functions/sync", "/v1/functions/check"])
        expect([url, path, await post(path, { url })]).toEqual([url, path, 424]);
    await syncApp(server.db, "default", `http://127.0.0.1:${port}/app`, manifestOf("doors", [{ id: "door" }]), false);
    expect(await post("/v1/webhooks", { name: "door", url: `http://127.0.0.1:${port}/hook` })).toBe(201);
    await server.db.script(`update rotor.queues set url = '${inside}' where name in ('door', 'rotor/webhook/door')`);
    const { runId } = await server.rotor.runs.start("door", {});
    expect(await post("/v1/webhooks/door/test", {})).toBeLessThan(300);
    await eventually(
      "an attempt of the run",
      async () => (await server.rotor.runs.get(runId)).reason === "unreachable",
    );
    await eventually("an attempt of the webhook", async () => {
      const answer = await fetch(`${server.baseUrl}/v1/webhooks/door/deliveries`);
      const { data } = (await answer.json()) as { data: { error?: { message: string } }[] };
      return data.some((each) => each.error?.message === refusedBy("127.0.0.2"));
    });
    await server.rotor.runs.cancel(runId);
    expect(await fetch(`${server.baseUrl}/v1/webhooks/door`, { method: "DELETE" })).toMatchObject({ ok: true });
    expect(came.filter(({ path }) => path !== `/307?to=${encodeURIComponent(inside)}`)).toEqual([]);
    expect(new Set(tried)).toEqual(new Set([`127.0.0.1 ${port}`]));
  });

  test("nothing tells a closed address from a closed port", async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port: freed } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    names.set("a.test", () => ["10.0.0.1"]);
    names.set("b.test", () => ["127.0.0.1"]);
    const [blocked, refused] = await attempted([`http://a.test:${freed}/`, `http://b.test:${freed}/`]);
    const shown = (job: typeof blocked): string =>
      JSON.stringify(
        job!.deliveries!.map(({ error, outcome, status, response }) => [error, outcome, status, response]),
      ).replaceAll("b.test", "a.test");
    expect(shown(refused)).toBe(shown(blocked));
  });
});
