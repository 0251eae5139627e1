/** Server and functions in one process: the same protocol without a socket, and a stop that loses nothing. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createFunction, nodeHandler, Rotor, type RotorFunction, workflowHandler } from "@rotorsh/sdk";
import { afterEach, expect, test, vi } from "vitest";
import { type Rotor as Server, startRotor } from "../main.js";
import { violations } from "../store/invariants.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { eventually, testConfig } from "../testing-kit/server.js";

let database: TestDatabase;
let running: Server[] = [];
afterEach(async () => {
  for (const server of running) await server.stop();
  running = [];
  const broken = await violations(database.db);
  await database.close();
  expect(broken).toEqual([]);
});

type Options = { readonly environment?: Record<string, string>; readonly app?: string; readonly move?: boolean };

async function start(functions: readonly RotorFunction[] | undefined, { environment, ...more }: Options = {}) {
  const config = testConfig(database, environment);
  const server = await startRotor(functions === undefined ? config : { functions, config, ...more });
  running.push(server);
  return Object.assign(server, { client: new Rotor({ baseUrl: server.url }) });
}

/** A promise with its handle. */
function gate() {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

test("a run goes through steps, sleeps, waits and children, and nothing is asked of the network", async () => {
  database = await testDatabase();
  const child = createFunction({ id: "child" }, ({ event }) => ({ got: event.data as number }));
  const root = createFunction({ id: "root", trigger: { event: "begin" } }, async ({ event, step }) => {
    const first = await step.run(
      "first",
      ({ attempt }) => {
        if (attempt === 1) throw new Error("once");
        return event.data.n;
      },
      { backoff: ["1ms"] },
    );
    await step.sleep("pause", "5ms");
    const { result } = await step.invoke("child", { workflow: child, data: first, timeout: "1m" });
    return [result, await step.waitForSignal("ok", { signal: "ok", timeout: "1m" })];
  });
  // Nobody answers there; deliveries and checkpoints do not ask.
  const environment = { ROTOR_PUBLIC_URL: "https://rotor.invalid/behind/a/proxy", ROTOR_ALLOW_PRIVATE_URLS: "" };
  const { client } = await start([root, child] as RotorFunction[], { environment });
  const sent = await client.send({ name: "begin", data: { n: 7 } });
  await eventually("the signal", () =>
    client.signals.complete("ok", "yes").then(
      () => true,
      () => false,
    ),
  );
  expect(await client.runs.result(sent.runs[0]!, { timeout: "20s" })).toEqual([{ got: 7 }, "yes"]);
  const [root_] = (await client.functions.list().page()).data.filter(({ id }) => id === "root");
  expect(root_).toMatchObject({ app: "default", serveUrl: "inproc:default" });
});

test("a history beyond one body is paged, as over HTTP", async () => {
  database = await testDatabase();
  const large = createFunction({ id: "large", retries: 0 }, async ({ step }) => {
    const sizes: number[] = [];
    for (let n = 0; n < 4; n++) sizes.push((await step.run("part", () => `${n}`.repeat(500_000))).length);
    await step.sleep("pause", "5ms");
    return sizes;
  });
  const { client } = await start([large]);
  const { runId } = await client.runs.start(large, undefined);
  const result = await client.runs.result(runId, { timeout: "20s" });
  expect(result).toEqual([500_000, 500_000, 500_000, 500_000]);
});

test("a stop lets the step under way end and starts no other; the next process goes on there", async () => {
  database = await testDatabase();
  const ran: string[] = [];
  const [begun, goOn] = [gate(), gate()];
  const two = createFunction({ id: "two" }, async ({ step }) => {
    await step.run("a", async () => {
      ran.push("a");
      begun.open();
      await goOn.opened;
    });
    await step.run("b", () => void ran.push("b"));
    return "done";
  });
  const first = await start([two]);
  const { runId } = await first.client.runs.start(two, undefined);
  await begun.opened;
  // Something else of this server takes long to end: no delivery may be made meanwhile.
  const other = await database.db.connect();
  await other.query(database.db.resolve("begin; lock table rotor.inbox in access exclusive mode"));
  await eventually("a look that waits for the lock", async () => {
    const { rows } = await other.query(
      database.db.resolve("select from pg_locks where relation = 'rotor.inbox'::regclass and not granted"),
    );
    return rows.length > 0;
  });
  const stopped = first.stop();
  goOn.open();
  await eventually("a run that is given back", async () => {
    const { rows } = await other.query(database.db.resolve("select from rotor.jobs where state <> 'active'"));
    return rows.length > 0;
  });
  await other.query("commit");
  await other.end();
  await stopped;
  expect(ran).toEqual(["a"]);
  const second = await start([two]);
  expect(await second.client.runs.result(runId, { timeout: "20s" })).toBe("done");
  expect(ran).toEqual(["a", "b"]);
  expect((await second.client.runs.get(runId)).attempt).toBe(1);
});

test("a server without the functions uses up no attempt of their runs, and one that has them goes on", async () => {
  database = await testDatabase();
  const one = createFunction({ id: "one", retries: 0 }, () => "done");
  const first = await start([one]);
  await first.stop();
  const bare = await start(undefined);
  const { runId } = await bare.client.runs.start("one");
  const why = await eventually("an attempt to deliver", async () => {
    const run = await bare.client.runs.get(runId);
    return run.deliveries?.[0]?.error?.message;
  });
  expect(why).toContain("started with its functions");
  await bare.stop();
  const { client } = await start([one]);
  await database.shiftClock(60_000);
  expect(await client.runs.result(runId, { timeout: "20s" })).toBe("done");
});

test("nobody outside can name such a place", async () => {
  database = await testDatabase();
  const one = createFunction({ id: "one" }, () => 1);
  const { url, client } = await start([one]);
  const refused = { status: 422, message: expect.stringMatching(/http/) };
  await expect(client.functions.sync({ url: "inproc:default", move: true })).rejects.toMatchObject(refused);
  await expect(client.queues.create("q", { callbackUrl: "inproc:default" })).rejects.toMatchObject(refused);
  const hook = await fetch(`${url}/v1/webhooks`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "w", url: "inproc:default", events: ["run.failed"] }),
  });
  expect(hook.status).toBe(422);
});

test("an app that another address has is not taken over unasked", async () => {
  database = await testDatabase();
  const one = createFunction({ id: "one" }, () => "mine");
  const server = await start(undefined);
  const elsewhere = createServer(nodeHandler(workflowHandler({ functions: [one], dev: true })));
  elsewhere.listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const { port } = elsewhere.address() as AddressInfo;
  await server.client.functions.sync({ url: `http://127.0.0.1:${port}/api/rotor` });
  elsewhere.closeAllConnections();
  elsewhere.close();
  await server.stop();
  await expect(start([one])).rejects.toThrow(/cannot be served: .*default/);
  const { client } = await start([one], { move: true });
  const { runId } = await client.runs.start(one, undefined);
  expect(await client.runs.result(runId, { timeout: "20s" })).toBe("mine");
});

test("two functions of one id are refused", async () => {
  database = await testDatabase();
  const one = createFunction({ id: "one" }, () => 1);
  await expect(start([one, one])).rejects.toThrow('Two functions have the id "one"');
});

test("settings are the environment's unless they are given, and a store must be named as ever", async () => {
  database = await testDatabase();
  for (const name of ["DATABASE_URL", "ROTOR_DATA_DIR"]) vi.stubEnv(name, "");
  const one = createFunction({ id: "one" }, () => 1);
  await expect(startRotor({ functions: [one] })).rejects.toThrow("Name a store");
  vi.unstubAllEnvs();
});
