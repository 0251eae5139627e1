import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FunctionContext } from "./function.js";
import { createFunction } from "./function.js";
import type { Untyped } from "./json.js";
import { DEVELOPMENT_SIGNING_KEY } from "./protocol.js";
import { signRotor } from "./signature.js";
import { testRotor } from "./testing/index.js";
import { KEY, startPeer } from "./testing-kit/peer.js";

let said: string[];
beforeEach(() => {
  said = [];
  vi.spyOn(console, "warn").mockImplementation((text: string) => void said.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

let count = 0;

/** Runs the code to its end or for a month, and answers what was said. */
async function play(code: (context: FunctionContext<Untyped>) => unknown, events: readonly string[] = []) {
  count += 1;
  const fn = createFunction({ id: `advised-${count}` }, code);
  const rotor = testRotor({ functions: [fn] });
  const run = await rotor.start(fn);
  for (const event of events) await rotor.send(event);
  await rotor.advance("30d");
  return { run, said };
}

const ok = (value: unknown) => () => value;

test("a new id in each replay is told, with what to do", async () => {
  let n = 0;
  const { said: heard } = await play(async ({ step }) => {
    await step.run(`id-${n++}`, ok(1));
    await step.sleep("pause", "1h");
  });
  expect(heard.join()).toEqual(
    expect.stringMatching(/advised-\d+": step "id-0" is finished, and the code no longer asks for it\..*Math\.random/),
  );
});

test("another order in a replay is told", async () => {
  let n = 0;
  const { said: heard } = await play(async ({ step }) => {
    const ids = ["a", "b"];
    for (const id of n++ === 0 ? ids : ids.reverse()) await step.run(id, ok(id));
    await step.sleep("pause", "1h");
  });
  expect(heard).toEqual([expect.stringContaining('step "a" is asked for later than when it was recorded')]);
});

test("code that awaits something else between steps is told when it is replayed", async () => {
  const { said: heard } = await play(async ({ step }) => {
    await step.run("a", ok(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    await step.run("b", ok(2));
    await step.sleep("pause", "1h");
  });
  expect(heard.join()).toContain('step "b" is asked for later');
});

test("a race that leaves a wait behind names waitForAny, at the end and in a loop", async () => {
  const race = ({ step }: FunctionContext<Untyped>) =>
    Promise.race([step.waitForEvent("opened", { event: "x", timeout: "7d" }), step.sleep("limit", "1h")]);
  const { run } = await play(race);
  expect(run.state).toBe("completed");
  expect(said).toEqual([expect.stringMatching(/the wait "opened" was left behind.*step\.waitForAny/)]);
  said = [];
  await play(async (context) => {
    for (let n = 0; n < 2; n++) await race(context);
    await context.step.waitForEvent("opened", { event: "x", timeout: "1h" });
  });
  expect(said[0]).toContain('the wait "opened" was left behind');
});

test("a step that nobody awaits is told", async () => {
  const { run } = await play(({ step }) => {
    void step.run("forgotten", ok(1));
    return "done";
  });
  expect(run.result).toBe("done");
  expect(said).toEqual([expect.stringMatching(/returned before its step "forgotten" had ended.*await missing/)]);
});

test("code as it should be is told nothing", async () => {
  const { run } = await play(
    async ({ step, logger }) => {
      logger.info("not shown here");
      const both = await Promise.all(
        ["a", "b"].map((of) => step.waitForEvent("same id", { event: `came.${of}`, timeout: "1d" })),
      );
      for (let n = 0; n < 3; n++) {
        await step.waitForEvent("loop", { event: "tick", timeout: "1h" });
        await Promise.race([step.run("quick", ok(n)), step.sleep("limit", "1h")]);
      }
      await Promise.resolve();
      await Promise.allSettled([step.run("bad", () => Promise.reject(new Error("no")), { retries: 1 })]);
      return both;
    },
    ["came.b", "came.a"],
  );
  expect([run.state, run.held]).toEqual(["completed", undefined]);
  expect(said).toEqual([]);
});

test("nothing is said outside of development, and everything once", async () => {
  const code = ({ step }: FunctionContext<Untyped>) => {
    void step.run("forgotten", ok(1));
  };
  for (const [dev, told] of [
    [false, 0],
    [true, 1],
  ] as const) {
    const key = dev ? DEVELOPMENT_SIGNING_KEY : KEY;
    const peer = await startPeer([createFunction({ id: "advised-app" }, code)], { dev, signingKey: key });
    for (let n = 0; n < 2; n++) {
      const body = JSON.stringify(peer.request(peer.create("advised-app")));
      const headers = { "x-rotor-signature": signRotor(body, key, Math.floor(Date.now() / 1000)) };
      expect(await (await peer.post(body, headers)).text()).toContain('"status":"completed"');
    }
    await peer.close();
    expect(said).toHaveLength(told);
  }
});

test("the logger is silent while results are replayed", async () => {
  const info = vi.spyOn(console, "info").mockImplementation(() => {});
  await play(async ({ step, logger }) => {
    logger.info("first");
    await step.run("a", ok(1));
    logger.info("second");
    await step.sleep("pause", "1h");
    logger.info("third");
  });
  expect(info.mock.calls.flat()).toEqual(["first", "second", "third"]);
});
