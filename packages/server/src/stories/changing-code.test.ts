/** Code that changes while its runs go on: what is safe, what holds a run, and what a check says beforehand. */
import {
  createFunction,
  type FunctionConfig,
  nodeHandler,
  type RotorFunction,
  type Step,
  workflowHandler,
} from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { storedRows } from "../testing-kit/fixtures.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { changingApp, standing } from "./testing-kit/changing-app.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

type Ran = string[];
type Code = (step: Step, ran: Ran) => Promise<unknown>;

const functionOf = (id: string, ran: Ran, code: Code, config: Partial<FunctionConfig> = {}): RotorFunction =>
  createFunction({ id, retries: 0, ...config }, ({ step }) => code(step, ran)) as RotorFunction;

const does = (step: Step, ran: Ran, id: string) =>
  step.run(id, () => {
    ran.push(id);
    return id;
  });
const waits = (step: Step, id: string, event: string) => step.waitForEvent(id, { event, timeout: "60d" });

/** A run of `before` that stands at its wait for the event `go-<id>`; then the app has `after`. */
async function changed(id: string, before: Code, after: Code) {
  const ran: Ran = [];
  const app = await changingApp(server, `app-${id}`, [functionOf(id, ran, before)]);
  const { runId } = await server.rotor.runs.start(id, {});
  await standing(server, runId, "event");
  ran.length = 0;
  app.deploy([functionOf(id, ran, after)]);
  const go = () => server.rotor.send({ name: `go-${id}`, data: {} });
  const result = () => server.rotor.runs.result(runId, { timeout: "20s" });
  return { ran, app, runId, go, result };
}

describe("with its ids kept, code may", () => {
  test("have more steps, before and after those that are stored", async () => {
    const { ran, go, result } = await changed(
      "added",
      async (step, ran) => {
        await does(step, ran, "a");
        await waits(step, "w", "go-added");
      },
      async (step, ran) => {
        await does(step, ran, "new-first");
        const a = await does(step, ran, "a");
        await waits(step, "w", "go-added");
        return [a, await does(step, ran, "new-last")];
      },
    );
    await go();
    expect(await result()).toEqual(["a", "new-last"]);
    expect(ran).toEqual(["new-first", "new-last"]);
  });

  test("have fewer: a finished step that it no longer reaches is kept and shown", async () => {
    const { ran, runId, go, result } = await changed(
      "removed",
      async (step, ran) => {
        await does(step, ran, "a");
        await does(step, ran, "b");
        await waits(step, "w", "go-removed");
      },
      async (step, ran) => {
        const b = await does(step, ran, "b");
        await waits(step, "w", "go-removed");
        return b;
      },
    );
    await go();
    expect(await result()).toBe("b");
    expect(ran).toEqual([]);
    const { steps } = await server.rotor.runs.get(runId);
    expect(steps!.map(({ key, state }) => [key, state])).toEqual([
      ["a", "completed"],
      ["b", "completed"],
      ["w", "completed"],
    ]);
  });

  test("have them in another order", async () => {
    const { ran, go, result } = await changed(
      "reordered",
      async (step, ran) => {
        await does(step, ran, "a");
        await does(step, ran, "b");
        await waits(step, "w", "go-reordered");
      },
      async (step, ran) => {
        await waits(step, "w", "go-reordered");
        return [await does(step, ran, "b"), await does(step, ran, "a")];
      },
    );
    await go();
    expect(await result()).toEqual(["b", "a"]);
    expect(ran).toEqual([]);
  });
});

describe("a run is held", () => {
  const before: Code = async (step, ran) => {
    await does(step, ran, "a");
    await waits(step, "w", "go");
  };

  test("when another kind of step stands under a stored id, and the message names step and both kinds", async () => {
    const { app, ran, runId, result } = await changed("kind", before, async (step) => step.sleep("w", "1h"));
    await server.rotor.send({ name: "go", data: {} });
    const held = await standing(server, runId, "held");
    expect(held.error!.message).toContain(
      "The step w is recorded as event, and the code asks for a step of kind sleep.",
    );
    expect((await server.rotor.jobs.why(runId)).sentence).toContain("The step w is recorded as event");
    // Resumed while the code is as it was, it is held again; after it was mended it goes on.
    await server.rotor.runs.resume(runId);
    const again = await eventuallyHeldAgain(runId, held.deliveries!.length);
    expect(again.reason).toBe("held");
    app.deploy([functionOf("kind", ran, before)]);
    await server.rotor.runs.resume(runId);
    expect(await result()).toBeNull();
    expect(ran).toEqual([]);
  });

  async function eventuallyHeldAgain(runId: string, deliveries: number) {
    for (;;) {
      const run = await standing(server, runId, "held");
      if (run.deliveries!.length > deliveries) return run;
    }
  }
});

describe("a check", () => {
  test("says which runs would be held, runs no step, and changes nothing", async () => {
    const ran: Ran = [];
    const old: Code = async (step, ran) => {
      await does(step, ran, "a");
      await waits(step, "w", "go-checked");
      return "ended";
    };
    const app = await changingApp(server, "checks", [
      functionOf("checked", ran, old),
      functionOf("dropped", ran, async (step) => waits(step, "w", "never")),
    ]);
    const finished = await server.rotor.runs.start("checked", {});
    await standing(server, finished.runId, "event");
    await server.rotor.send({ name: "go-checked", data: {} });
    expect(await server.rotor.runs.result(finished.runId, { timeout: "20s" })).toBe("ended");
    const open = await server.rotor.runs.start("checked", {});
    const lost = await server.rotor.runs.start("dropped", {});
    for (const { runId } of [open, lost]) await standing(server, runId, "event");
    const none = { fits: 0, otherwise: 0, diverges: 0, errors: 0, unchecked: 0 };
    const checked = { function: "checked", served: true, unfinished: 1, ...none };
    const dropped = { function: "dropped", served: false, unfinished: 1, ...none, unchecked: 1 };
    ran.length = 0;
    const before = await storedRows(server.db);

    expect(await server.rotor.functions.check(app.url)).toEqual({
      app: "checks",
      functions: [
        { ...checked, fits: 2 },
        { ...dropped, served: true, fits: 1, unchecked: 0 },
      ],
      diverging: [],
      failing: [],
    });
    const ask = async (code: Code, options = {}) =>
      server.rotor.functions.check(await app.preview([functionOf("checked", ran, code)]), options);
    // Another kind under a stored id.
    expect(
      await ask(async (step, ran) => {
        await does(step, ran, "a");
        await step.sleep("w", "1h");
      }),
    ).toEqual({
      app: "checks",
      functions: [{ ...checked, diverges: 2 }, dropped],
      diverging: [open, finished].map(({ runId }) => ({
        function: "checked",
        runId,
        step: "w",
        recorded: "event",
        asked: "sleep",
      })),
      failing: [],
    });
    // An unfinished wait that is not reached; what is finished already gets through.
    const unreached = await ask(async (step, ran) => {
      await does(step, ran, "a");
      return "ended";
    });
    expect(unreached.diverging).toEqual([
      { function: "checked", runId: open.runId, step: "w", recorded: "event", asked: null },
    ]);
    expect(unreached.functions[0]).toEqual({ ...checked, diverges: 1, fits: 1 });
    // A new step is run before anything else can be told; of what is finished, the end would be another.
    const more = await ask(async (step, ran) => {
      await does(step, ran, "new");
      return old(step, ran);
    });
    expect(more.functions[0]).toEqual({ ...checked, fits: 1, otherwise: 1 });
    // Code that does not bear what is stored.
    const throwing = await ask(
      async (step, ran) => {
        const a = await does(step, ran, "a");
        throw new TypeError(`${a} is not a function`);
      },
      { function: "checked", limit: 1 },
    );
    expect(throwing.functions).toEqual([{ ...checked, errors: 1 }]);
    expect(throwing.failing).toMatchObject([
      { function: "checked", runId: open.runId, error: { name: "TypeError", message: "a is not a function" } },
    ]);

    expect(ran).toEqual([]);
    expect(await storedRows(server.db)).toEqual(before);
    // Nor is the address stored.
    expect((await server.rotor.functions.get("checked")).serveUrl).toBe(app.url);
  });

  test("asks about a run of each step that some stand at, before it asks about more of one", async () => {
    const ran: Ran = [];
    const code: Code = (step) => step.run("noop", () => 1).then(() => waits(step, "common", "never"));
    const app = await changingApp(server, "spread", [functionOf("many", ran, code)]);
    for (let n = 0; n < 5; n++) await standing(server, (await server.rotor.runs.start("many", {})).runId, "event");
    app.deploy([functionOf("many", ran, (step) => waits(step, "rare", "never"))]);
    const rare = await server.rotor.runs.start("many", {});
    await standing(server, rare.runId, "event");
    const next = await app.preview([functionOf("many", ran, code)]);
    const check = await server.rotor.functions.check(next, { limit: 2 });
    expect(check.functions).toMatchObject([{ unfinished: 6, fits: 2, diverges: 0, unchecked: 4 }]);
    const held = await server.rotor.functions.check(
      await app.preview([functionOf("many", ran, (step) => step.sleep("rare", "1d"))]),
      { limit: 2 },
    );
    expect(held.diverging.map(({ runId, step }) => [runId, step])).toContainEqual([rare.runId, "rare"]);
  });

  test("asks about runs that wait for a turn of their key, too, and counts them", async () => {
    const keyed = { concurrency: [{ limit: 1, key: "data.of" }] };
    let release = (): void => undefined;
    const busy = new Promise<void>((resolve) => (release = resolve));
    const code: Code = async (step) => {
      await waits(step, "w", "go-keyed");
      await step.run("busy", () => busy);
    };
    const app = await changingApp(server, "keyed", [functionOf("keyed", [], code, keyed)]);
    const runs = await Promise.all([1, 1, 1, 2].map((of) => server.rotor.runs.start("keyed", { of })));
    for (const { runId } of runs) await standing(server, runId, "event");
    await server.rotor.send({ name: "go-keyed", data: {} });
    const states = () => Promise.all(runs.map(async ({ runId }) => (await server.rotor.runs.get(runId)).reason ?? ""));
    await eventually("two that wait for the key", async () => {
      const found = await states();
      return found.filter((reason) => reason === "key_blocked").length === 2 && !found.includes("event");
    });
    const same = await server.rotor.functions.check(app.url);
    expect(same.functions).toMatchObject([{ unfinished: 4, fits: 4, unchecked: 0 }]);
    const other = await app.preview([functionOf("keyed", [], (step) => step.sleep("w", "1d"), keyed)]);
    expect((await server.rotor.functions.check(other)).diverging).toHaveLength(4);
    const gone = await app.preview([functionOf("other", [], async () => 1)]);
    expect((await server.rotor.functions.check(gone, { function: "keyed" })).functions).toMatchObject([
      { served: false, unfinished: 4 },
    ]);
    release();
    await Promise.all(runs.map(({ runId }) => server.rotor.runs.result(runId, { timeout: "20s" })));
  });

  test("reads histories that do not fit into one body, and waits for code that is busy between its steps", async () => {
    const ran: Ran = [];
    const large = "x".repeat(700_000);
    const code: Code = async (step, ran) => {
      for (const id of ["a", "b", "c"]) {
        await step.run(id, () => `${large}${ran.length}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await waits(step, "w", "never");
    };
    const app = await changingApp(server, "large", [functionOf("large", ran, code)]);
    const { runId } = await server.rotor.runs.start("large", {});
    await standing(server, runId, "event");
    expect((await server.rotor.functions.check(app.url)).functions).toMatchObject([{ fits: 1, errors: 0 }]);
  });

  test("is refused where it cannot be made, with what to do", async () => {
    const check = (url: string, options = {}) => server.rotor.functions.check(url, options);
    const nobody = await server.serve((_request, response) => response.writeHead(404).end());
    await expect(check(nobody)).rejects.toMatchObject({ status: 424, code: "app_unreachable" });
    const app = await changingApp(server, "known", [functionOf("known", [], async () => 1)]);
    await expect(check(app.url, { function: "other" })).rejects.toMatchObject({ status: 404 });
    await expect(check(app.url, { limit: 1_001 })).rejects.toMatchObject({ status: 422 });
    const stranger = nodeHandler(
      workflowHandler({ app: "stranger", dev: true, functions: [functionOf("known", [], async () => 1)] }),
    );
    await expect(check(`${await server.serve(stranger)}/api/rotor`)).rejects.toMatchObject({
      status: 422,
      message: expect.stringContaining("sync it first"),
    });
    await expect(check("http://169.254.169.254/")).rejects.toMatchObject({ status: 422 });
  });
});

// Last, since it moves the clock by a month.
describe("a run is held too", () => {
  test("when it no longer reaches an unfinished wait; what arrives meanwhile is kept; after 30 days it fails", async () => {
    const { runId } = await changed(
      "unreached",
      async (step) => Promise.all([waits(step, "w", "never"), waits(step, "poke", "go-unreached")]),
      async (step) => waits(step, "poke", "go-unreached"),
    );
    await server.rotor.send({ name: "go-unreached", data: {} });
    const held = await standing(server, runId, "held");
    expect(held.error!.message).toContain("The step w is recorded as event, and the code no longer reaches it.");
    await server.shiftClock(29 * 86_400_000);
    expect((await server.rotor.runs.get(runId)).reason).toBe("held");
    await server.shiftClock(31 * 86_400_000);
    const failed = await eventually("its end", async () => {
      const run = await server.rotor.runs.get(runId);
      return run.state === "failed" && run;
    });
    expect(failed.error!.name).toBe("ExpiredError");
  });
});
