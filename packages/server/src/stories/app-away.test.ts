/** Apps that cannot be reached: what their runs wait for, how long, and how soon it is noticed that they are back. */
import { createServer, type RequestListener, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createFunction, nodeHandler, type RotorFunction, workflowHandler } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { systemResolve } from "../delivery/connector.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
/** Names under `.test` that have no address just now. */
const lost = new Set<string>();
const apps: Server[] = [];
/** The clock only goes forward. */
let shiftedMs = 0;

beforeAll(async () => {
  server = await testServer(
    {},
    {
      resolve: async (host) => {
        if (lost.has(host)) throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND" });
        return host.endsWith(".test") ? ["127.0.0.1"] : systemResolve(host);
      },
    },
  );
});
afterAll(async () => {
  for (const app of apps) app.close();
  await server.close();
});

const forward = async (ms: number): Promise<void> => {
  shiftedMs += ms;
  await server.shiftClock(shiftedMs);
};

/** An app that can go away and come back at the same port. */
async function comingAndGoing(app: string, functions: readonly RotorFunction[]) {
  const handler = workflowHandler({ app, dev: true, functions });
  const normal = nodeHandler((request) => handler(request, { ROTOR_BASE_URL: server.baseUrl }));
  let listener: RequestListener = normal;
  let deliveries = 0;
  let current: Server | undefined;
  let port = 0;
  const start = async (): Promise<void> => {
    const one = createServer((request, response) => {
      if (request.method === "POST") deliveries += 1;
      listener(request, response);
    });
    await new Promise<void>((resolve) => one.listen(port, "127.0.0.1", resolve));
    port = (one.address() as AddressInfo).port;
    apps.push(one);
    current = one;
  };
  const stop = async (): Promise<void> => {
    current?.closeAllConnections();
    await new Promise((resolve) => current?.close(resolve));
  };
  await start();
  const url = `http://${app}.test:${port}/api/rotor`;
  await server.rotor.functions.sync({ url });
  return {
    url,
    start,
    stop,
    /** What the app answers, instead of what it is; undefined: as before. */
    answer: (other: RequestListener | undefined) => {
      listener = other ?? normal;
    },
    deliveries: () => deliveries,
    /** `PUT <serve url>`: the app registers itself, as it may when it starts. Answers the status. */
    register: () =>
      new Promise<number>((resolve, reject) => {
        const options = { port, path: "/api/rotor", method: "PUT", headers: { host: `${app}.test:${port}` } };
        request(options, (response) => resolve(response.resume().statusCode!))
          .on("error", reject)
          .end();
      }),
  };
}

const simple = (id: string) =>
  createFunction({ id, retries: 0 }, async ({ step, event }) => step.run("one", () => event.data ?? "done"));

const unreachable = (runId: string) =>
  eventually("a delivery that does not reach it", async () => {
    const run = await server.rotor.runs.get(runId);
    return run.reason === "unreachable" && run.deliveries!.length > 0 && run;
  });
const result = (runId: string) => server.rotor.runs.result(runId, { timeout: "20s" });

type Away = {
  readonly name: string;
  readonly answer?: RequestListener;
  readonly isStopped?: true;
  readonly isLost?: true;
};

test.each<[string, Away]>([
  ["refuses the connection", { name: "refuses", isStopped: true }],
  ["has no address", { name: "no-address", isStopped: true, isLost: true }],
  ["has another thing at its address", { name: "nginx", answer: (_, response) => response.end("<h1>Welcome!</h1>") }],
  ["is a gateway's error", { name: "gateway", answer: (_, response) => response.writeHead(502).end("Bad Gateway") }],
  ["no longer knows the function", { name: "older", answer: (_, response) => response.writeHead(404).end("{}") }],
  [
    "signs its answers with another key",
    {
      name: "stranger",
      answer: (_, response) =>
        response.end(
          `rotor-signature t=1790000000,v1=${"0".repeat(64)}\n{"version":1,"status":"completed","output":1}`,
        ),
    },
  ],
])("an app that %s costs its run no attempt, and says what is the matter", async (_what, away) => {
  const { name, answer, isStopped, isLost } = away;
  const app = await comingAndGoing(name, [simple(name)]);
  app.answer(answer);
  if (isLost) lost.add(`${name}.test`);
  if (isStopped) await app.stop();
  const { runId } = await server.rotor.runs.start(name, "late");
  expect(await unreachable(runId)).toMatchObject({ state: "waiting", attempt: 0 });
  const why = await server.rotor.jobs.why(runId);
  expect(why.sentence).toContain(`The app ${name} at ${app.url} cannot be reached since`);
  expect(why.sentence).toContain("This costs the run no attempt.");
  lost.clear();
  app.answer(undefined);
  if (isStopped) await app.start();
  await forward(limits.breakerMaxMs);
  expect(await result(runId)).toBe("late");
  expect(await server.rotor.runs.get(runId)).toMatchObject({ state: "completed", attempt: 1 });
});

test("a connection that is lost after the handler began does count", async () => {
  const app = await comingAndGoing("lost", [simple("lost")]);
  app.answer((request) => request.socket.destroy());
  const { runId } = await server.rotor.runs.start("lost", {});
  await expect(result(runId)).rejects.toMatchObject({ cause: { name: "ConnectionLostError" } });
});

test("an app that is back is noticed as soon as it registers, and not only by the next probe", async () => {
  const app = await comingAndGoing("registers", [simple("registers")]);
  await app.stop();
  const { runId } = await server.rotor.runs.start("registers", "soon");
  await unreachable(runId);
  // The breaker is now open for as long as it may be.
  for (let n = 0; n < 6; n++) {
    const { deliveries } = await server.rotor.runs.get(runId);
    await forward(limits.breakerMaxMs);
    await eventually(
      "the next probe",
      async () => (await server.rotor.runs.get(runId)).deliveries!.length > deliveries!.length,
    );
  }
  await app.start();
  expect(await app.register()).toBe(200);
  expect(await result(runId)).toBe("soon");
});

test("an app that is away for ten minutes while a thousand runs are due loses none of them", async () => {
  const app = await comingAndGoing("crowd", [simple("crowd")]);
  await app.stop();
  const ids = await Promise.all(
    Array.from({ length: 1_000 }, async (_, n) => (await server.rotor.runs.start("crowd", n)).runId),
  );
  const probes = async (): Promise<number> =>
    (
      await server.db.script(
        `select count(*)::int as n from rotor.deliveries delivery join rotor.payloads payload using (job_id)
         join rotor.queues queue on queue.id = payload.queue_id where queue.name = 'crowd'`,
      )
    ).rows[0].n;
  // Before it is known to be away as many runs are on their way as the function lets begin.
  await eventually("a first failure", async () => (await probes()) > 0);
  await forward(60_000);
  await eventually("a probe", async () => (await probes()) > 1);
  const begun = await probes();
  for (let minutes = 1; minutes < 10; minutes++) {
    const before = await probes();
    await forward(60_000);
    await eventually("a probe", async () => (await probes()) > before);
  }
  // From then on the app is looked for with a run at a time: the others keep their place.
  expect((await probes()) - begun).toBeLessThan(30);
  const stats = async () =>
    (
      await server.db.script(
        `select job.state, count(*)::int as n from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id where queue.name = 'crowd' group by 1`,
      )
    ).rows;
  const under = (await stats()) as { state: string; n: number }[];
  // A probe may be on its way.
  expect(under.every(({ state }) => state === "waiting" || state === "active")).toBe(true);
  expect(under.reduce((sum, { n }) => sum + n, 0)).toBe(1_000);
  await app.start();
  await forward(60_000);
  await eventually("the end of all", async () => (await stats()).every((row) => row.state === "completed"), 60_000);
  expect(await stats()).toEqual([{ state: "completed", n: 1_000 }]);
  // One delivery each: none was begun twice.
  expect(app.deliveries()).toBe(1_000);
  expect(await result(ids[17]!)).toBe(17);
}, 120_000);

test("a run waits a day for its app, and each its own day; what is due later is not concerned", async () => {
  const day = limits.unreachableMs;
  const app = await comingAndGoing("gone", [
    createFunction({ id: "gone", retries: 0 }, async ({ step }) => {
      await step.sleep("long", "40h");
      return "slept";
    }),
    simple("gone-too"),
  ]);
  const { runId: sleeper } = await server.rotor.runs.start("gone", {});
  await eventually("its sleep", async () => (await server.rotor.runs.get(sleeper)).reason === "sleeping");
  await app.stop();
  const first = await Promise.all(
    Array.from({ length: 20 }, async () => (await server.rotor.runs.start("gone-too", {})).runId),
  );
  await unreachableOneOf(first);
  // It is not the app that this one waits for.
  expect((await server.rotor.runs.get(sleeper)).reason).toBe("sleeping");
  await forward(day / 2);
  const { runId: second } = await server.rotor.runs.start("gone-too", "second");
  await forward(day / 2 + 120_000);
  const ends = await Promise.all(first.map((id) => result(id).catch((error: Error) => error)));
  expect(ends.map((error) => ((error as Error).cause as Error).name)).toEqual(
    first.map(() => expect.stringMatching(/UnreachableError$/)),
  );
  expect((await server.rotor.runs.get(second)).state).toBe("waiting");
  expect((await server.rotor.runs.get(sleeper)).reason).toBe("sleeping");
  await app.start();
  await forward(limits.breakerMaxMs);
  expect(await result(second)).toBe("second");
  // Failed runs are replayed as any other.
  await server.rotor.runs.retry(first[0]!);
  await result(first[0]!);
});

const unreachableOneOf = (ids: readonly string[]) =>
  eventually("a delivery that does not reach it", async () => {
    const runs = await Promise.all(ids.map((id) => server.rotor.runs.get(id)));
    return runs.some((run) => run.deliveries!.length > 0) && runs.every((run) => run.reason === "unreachable");
  });
