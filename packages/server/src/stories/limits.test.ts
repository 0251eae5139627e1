/** What is large, deep, strange or hostile: it either works or fails clearly, and never harms another run. */
import { createFunction, type RotorFunction } from "@rotorsh/sdk";
import { DEVELOPMENT_SIGNING_KEY } from "@rotorsh/sdk/protocol";
import { signAnswer } from "@rotorsh/sdk/signature";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Faults } from "../testing-kit/faulty-app.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const MiB = 1024 * 1024;
let apps = 0;

/** Serves these as an app of their own. */
const serve = (functions: readonly RotorFunction[], faults?: Faults) =>
  faultyApp(server, `app-${++apps}`, functions, faults);

/** Starts a run and waits for its end: its output, or its error. */
async function endOf(fn: { readonly id: string }, data: unknown = {}) {
  const { runId } = await server.rotor.runs.start(fn.id, data);
  await server.rotor.runs.result(runId, { timeout: "20s" }).catch((error: Error) => {
    if (error.name !== "WorkflowFailedError") throw error;
  });
  return server.rotor.runs.get(runId);
}

test("a run with 3 MB of results replays from pages", async () => {
  const counts = new Map<string, number>();
  const fn = createFunction({ id: "paged" }, async ({ step }) => {
    let total = 0;
    for (let n = 0; n < 30; n++) {
      const text = await step.run(`s${n}`, () => {
        counts.set(`s${n}`, (counts.get(`s${n}`) ?? 0) + 1);
        return "x".repeat(100_000);
      });
      total += text.length;
    }
    await step.sleep("nap", "1ms");
    return total;
  });
  const { deliveries } = await serve([fn]);
  expect(await endOf(fn)).toMatchObject({ state: "completed", output: 3_000_000 });
  expect(deliveries.at(-1)!.finished).toBeLessThan(12);
  expect([...counts.values()]).toEqual(Array(30).fill(1));
});

test("a large event beside a large result is delivered, not held", async () => {
  let tries = 0;
  const fn = createFunction({ id: "both-large" }, async ({ event, step }) => {
    const text = await step.run("large", () => "y".repeat(4 * MiB - 100));
    if (tries++ === 0) throw new Error("once more, with the result as the newest");
    return text.length + event.data.text.length;
  });
  await serve([fn]);
  const text = "e".repeat(MiB - 1_000);
  expect(await endOf(fn, { text })).toMatchObject({ state: "completed", output: 4 * MiB - 100 + text.length });
});

test("what is waited for together may be larger than one answer", async () => {
  const child = createFunction({ id: "sized" }, async ({ event }) => event.data.text.length);
  const fn = createFunction({ id: "many-large" }, async ({ step }) => {
    const parts = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        step.invoke<number>(`c${n}`, { workflow: "sized", data: { text: "z".repeat(900_000) }, timeout: "1m" }),
      ),
    );
    return parts.reduce((sum, { result }) => sum + result, 0);
  });
  await serve([child, fn]);
  expect(await endOf(fn)).toMatchObject({ state: "completed", output: 12 * 900_000 });
});

test("so may results that cannot be checkpointed", async () => {
  const fn = createFunction({ id: "cut-off" }, async ({ step }) => {
    const parts = await Promise.all(["a", "b", "c"].map((id) => step.run(id, () => "w".repeat(3.5 * MiB))));
    return parts.map((part) => part.length);
  });
  await serve([fn], { checkpoint: () => "cut" });
  expect(await endOf(fn)).toMatchObject({ state: "completed", output: Array(3).fill(3.5 * MiB) });
});

test.each([
  ["4 MiB of a step", (step: string) => (step === "s" ? "x".repeat(4 * MiB) : null), "StepError", /larger than 4 MiB/],
  [
    "1 MiB of a run",
    (step: string) => (step === "r" ? "x".repeat(MiB) : null),
    "NonRetriableError",
    /larger than 1 MiB/,
  ],
  ["a BigInt", (step: string) => (step === "s" ? 1n : null), "StepError", /BigInt/],
  [
    "a cycle",
    (step: string) => {
      const cycle: Record<string, unknown> = {};
      cycle.self = cycle;
      return step === "s" ? cycle : null;
    },
    "StepError",
    /circular/,
  ],
])("%s too much fails clearly", async (name, make, error, message) => {
  const id = `too-${name.replaceAll(" ", "-")}`;
  const fn = createFunction({ id }, async ({ step }) => {
    await step.run("s", () => make("s") as never);
    return make("r");
  });
  await serve([fn]);
  const run = await endOf(fn);
  expect(run.state).toBe("failed");
  expect(run.error!.name).toBe(error);
  expect(run.error!.message).toMatch(message);
});

test("results are what JSON makes of them, at once and after a replay", async () => {
  const fn = createFunction({ id: "jsonified" }, async ({ step }) => {
    const results = [
      await step.run("undefined", () => undefined),
      await step.run("date", () => new Date(0)),
      await step.run("nan", () => Number.NaN),
      await step.run("map", () => new Map([[1, 2]])),
      await step.run("text", () => "\0 \ud800 \u2028 \ud83d\ude00"),
      await step.run("proto", () => JSON.parse('{"__proto__":{"a":1},"constructor":2}')),
    ];
    await step.sleep("nap", "1ms");
    return JSON.stringify(results);
  });
  await serve([fn]);
  expect((await endOf(fn)).output).toBe(
    JSON.stringify([
      null,
      "1970-01-01T00:00:00.000Z",
      null,
      {},
      "\0 \ud800 \u2028 \ud83d\ude00",
      JSON.parse('{"__proto__":{"a":1},"constructor":2}'),
    ]),
  );
});

test("step ids may hold anything that can be shown", async () => {
  const ids = [
    "a/b",
    "\"quoted\" 'twice'",
    "søster 妹 😀",
    "a#b",
    "%2F..\\",
    "constructor",
    "__proto__",
    "x".repeat(256),
  ];
  let runs = 0;
  const fn = createFunction({ id: "named" }, async ({ step }) => {
    for (const id of ids) for (let use = 0; use < 2; use++) await step.run(id, () => ++runs);
    await step.sleep("nap", "1ms");
    return runs;
  });
  await serve([fn]);
  expect(await endOf(fn)).toMatchObject({ state: "completed", output: 2 * ids.length });
});

test("an id that cannot be stored fails its step", async () => {
  const fn = createFunction({ id: "half" }, async ({ step }) => step.run("half \ud83d", () => 1));
  await serve([fn]);
  const run = await endOf(fn);
  expect(run).toMatchObject({ state: "failed", error: { name: "RotorInputError" } });
});

test("a result that is nested too deep fails its step, and no other run notices", async () => {
  const deep = createFunction({ id: "deep" }, async ({ step }) =>
    step.run("s", () => JSON.parse("[".repeat(200) + "]".repeat(200))),
  );
  const other = createFunction({ id: "beside-deep" }, async ({ step }) => step.run("s", () => 1));
  const { deliveries } = await serve([deep, other]);
  const run = await endOf(deep);
  expect(run.state).toBe("failed");
  expect(run.error!.message).toMatch(/deep/);
  expect(await endOf(other)).toMatchObject({ state: "completed", output: 1 });
  expect(deliveries.map(({ run, delivery }) => `${run}/${delivery}`)).toHaveLength(2);
});

test("a run has at most 1,000 steps, and the next one says so", async () => {
  const fn = createFunction({ id: "endless" }, async ({ step }) => {
    for (;;) await Promise.all(Array.from({ length: 100 }, () => step.run("again", () => 1)));
  });
  await serve([fn]);
  const run = await endOf(fn);
  expect(run.state).toBe("failed");
  expect(run.error!.message).toMatch(/more than 1000 steps/);
  expect(run.steps).toHaveLength(1_000);
});

test("an event with nearly 1 MiB of data starts a run and ends a wait", async () => {
  const text = "ü".repeat(500_000);
  const fn = createFunction({ id: "large-event", trigger: { event: "large" } }, async ({ event, step }) => {
    const second = await step.waitForEvent<{ text: string }>("w", { event: "larger", timeout: "1m" });
    return event.data.text.length + (second?.text.length ?? 0);
  });
  await serve([fn]);
  const { runs } = await server.rotor.send({ name: "large", data: { text } });
  await server.rotor.send({ name: "larger", data: { text } });
  expect(await server.rotor.runs.result(runs[0]!, { timeout: "20s" })).toBe(1_000_000);
});

test("whatever a step throws is told, and its step is tried again", async () => {
  const name = "N".repeat(250);
  const thrown: unknown[] = [
    Object.assign(new Error("m".repeat(100_000)), { name, code: "C".repeat(300) }),
    null,
    undefined,
    "a text \0 \ud800",
    new Proxy(
      {},
      {
        get: () => {
          throw new Error("hostile");
        },
      },
    ),
    Object.assign(new Error("round"), { cause: undefined as unknown }),
    {
      toString: () => {
        throw new Error("hostile");
      },
      message: 7,
    },
  ];
  const round = thrown[5] as { cause: unknown };
  round.cause = round;
  const fn = createFunction({ id: "hostile" }, async ({ step }) => {
    const ends = [];
    for (const [n, what] of thrown.entries()) {
      const attempts = await step.run(
        `t${n}`,
        ({ attempt }) => {
          if (attempt < 2) throw what;
          return attempt;
        },
        { retries: 1, backoff: ["1ms"] },
      );
      ends.push(attempts);
    }
    await step
      .run(
        "last",
        () => {
          throw thrown[0];
        },
        { retries: 0 },
      )
      .catch((error: Error) => ends.push((error.cause as Error).name.length));
    return ends;
  });
  await serve([fn]);
  expect(await endOf(fn)).toMatchObject({ state: "completed", output: [2, 2, 2, 2, 2, 2, 2, 250] });
});

test("an answer that is not this delivery's changes nothing, and the run goes on when the app is well", async () => {
  const fn = createFunction({ id: "forged" }, async ({ step }) => step.run("s", () => "true"));
  const app = await serve([fn]);
  const now = () => Math.floor(Date.now() / 1000);
  const done = JSON.stringify({ version: 1, hash: "x", status: "completed", output: "forged" });
  const forgeries: ((run: string, delivery: number) => string)[] = [
    () => "<html>502</html>",
    () => done,
    (run, delivery) => signAnswer(done, `answer.${run}.${delivery}`, ["whsec_AAAA"], now()),
    (_, delivery) => signAnswer(done, `answer.${crypto.randomUUID()}.${delivery}`, [DEVELOPMENT_SIGNING_KEY], now()),
    (run, delivery) => signAnswer(done, `answer.${run}.${delivery + 1}`, [DEVELOPMENT_SIGNING_KEY], now()),
    (run) => signAnswer(done, `manifest.${run}`, [DEVELOPMENT_SIGNING_KEY], now()),
    (run, delivery) => signAnswer(done, `answer.${run}.${delivery}`, [DEVELOPMENT_SIGNING_KEY], now() - 1_000),
    (run, delivery) => signAnswer("{}", `answer.${run}.${delivery}`, [DEVELOPMENT_SIGNING_KEY], now()),
    () => "",
  ];
  const seen: string[] = [];
  const evil = await server.serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const forge = forgeries[seen.length];
    if (request.method === "POST" && forge !== undefined) {
      const { run, delivery } = JSON.parse(body) as { run: string; delivery: number };
      seen.push(run);
      response.end(forge(run, delivery));
      return;
    }
    const headers = Object.entries(request.headers).filter(
      ([key]) => key.startsWith("x-rotor") || key === "content-type",
    );
    const given = await fetch(app.url, {
      method: request.method!,
      headers: headers as [string, string][],
      ...(request.method === "POST" && { body }),
    });
    response.writeHead(given.status).end(await given.text());
  });
  await server.rotor.functions.sync({ url: `${evil}/api/rotor`, move: true });
  const { runId } = await server.rotor.runs.start(fn.id, {});
  await eventually("the end", async () => {
    // Back-off and the pause of an app that cannot be reached pass at once.
    await server.db.script(
      `update rotor.queues set open_at = '-infinity' where open_at > rotor.clock();
       update rotor.jobs set due_at = rotor.clock() where id = '${runId}' and state = 'waiting' and due_at > rotor.clock()`,
    );
    await server.ring();
    return (await server.rotor.runs.get(runId)).state === "completed";
  });
  expect(seen).toHaveLength(forgeries.length);
  expect((await server.rotor.runs.get(runId)).output).toBe("true");
});
