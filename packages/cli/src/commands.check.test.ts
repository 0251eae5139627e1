import { expect, test } from "vitest";
import { startScriptedApi } from "../../sdk/src/testing-kit/scripted-api.js";
import { call } from "./testing-kit/context.js";

const URL = "http://127.0.0.1:3000/api/rotor";
const counts = { served: true, unfinished: 3, fits: 3, otherwise: 0, diverges: 0, errors: 0, unchecked: 0 };
const fits = { app: "shop", functions: [{ function: "order", ...counts }], diverging: [], failing: [] };

/** `rotor check` against a server that answers so. */
async function check(answer: unknown, ...flags: string[]) {
  const api = await startScriptedApi();
  api.replies = [{ json: answer }];
  const called = await call(["check", URL, ...flags], { env: { ROTOR_BASE_URL: api.baseUrl } });
  api.close();
  return { ...called, lines: api.lines(), body: api.seen[0]?.body };
}

test("a check of code that fits shows how many runs were asked about, and is no failure", async () => {
  const { code, out, lines, body } = await check(fits);
  expect([code, lines, body]).toEqual([0, ["POST /v1/functions/check"], { url: URL }]);
  expect(out).toMatch(/FUNCTION +UNFINISHED +FIT .*\norder +3 +3 /);
  expect(out).toContain("What was checked fits.");
});

test("a check says of each run that would be held at which step, what is recorded there and what the code asks for", async () => {
  const { code, out } = await check({
    ...fits,
    functions: [{ function: "order", ...counts, fits: 1, diverges: 2 }],
    diverging: [
      { function: "order", run_id: "r1", step: "pay", recorded: "event", asked: "sleep" },
      { function: "order", run_id: "r2", step: "ship", recorded: "signal", asked: null },
    ],
  });
  expect(code).toBe(1);
  expect(out).toMatch(/r1 +order +pay +event +sleep/);
  expect(out).toMatch(/r2 +order +ship +signal +nothing: it is not reached/);
});

test("code that throws, and a function that is gone with runs under way, are failures too", async () => {
  const failing = await check({
    ...fits,
    functions: [{ function: "order", ...counts, fits: 2, errors: 1 }],
    failing: [{ function: "order", run_id: "r1", error: { name: "TypeError", message: "x is undefined" } }],
  });
  expect(failing.code).toBe(1);
  expect(failing.out).toMatch(/r1 +order +TypeError: x is undefined/);
  const gone = await check({
    ...fits,
    functions: [{ function: "old", ...counts, served: false, fits: 0, unchecked: 3 }],
  });
  expect(gone.code).toBe(1);
  expect(gone.out).toContain("old is gone from the code, and 3 unfinished runs of it would wait in vain.");
  const over = { function: "old", ...counts, served: false, unfinished: 0, fits: 0 };
  expect((await check({ ...fits, functions: [over] })).code).toBe(0);
});

test("a check can be of one function, of more runs, and for programs", async () => {
  const { code, out, body } = await check(fits, "--function", "order", "--limit", "500", "--json");
  expect([code, body]).toEqual([0, { url: URL, function: "order", limit: 500 }]);
  expect(JSON.parse(out)).toEqual(fits);
  expect((await check(fits, "--limit", "5000")).code).toBe(2);
});
