/** The SDK's testing kit does as the server does: the same programs end the same in both, step by step. */
import type { EventToSend, Rotor } from "@rotorsh/sdk";
import { testRotor } from "@rotorsh/sdk/testing";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { expected, newNotes, programFunction } from "./testing-kit/operations.js";
import { scenarios } from "./testing-kit/parity-scenarios.js";
import { playInTestRotor, playOnServer } from "./testing-kit/parity-stage.js";
import { type Program, program } from "./testing-kit/program.js";

const SEED = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

test.each(Object.entries(scenarios))("%s", async (name, scenario) => {
  const real = await playOnServer(server, name.replace(/[^a-z]+/g, "-").slice(0, 60), scenario);
  expect(await playInTestRotor(scenario)).toEqual(real);
  expect(real.length).toBeGreaterThan(0);
});

/** The same program, whose events come as soon as they are sent: only the virtual clock lets time pass here. */
const atOnce = (one: Program): Program => {
  if (one.kind === "event") return { ...one, ms: 0 };
  if ("parts" in one) return { ...one, parts: one.parts.map(atOnce) };
  return "body" in one ? { ...one, body: atOnce(one.body) } : one;
};

async function endInTestRotor(tree: Program): Promise<string[]> {
  const notes = newNotes();
  const client: { send: (event: EventToSend) => unknown } = { send: (event) => rotor.send(event) };
  const fn = programFunction("program", client as unknown as Rotor, () => notes);
  const rotor = testRotor({ functions: [fn] });
  const run = await rotor.start(fn, { program: tree, path: "p", token: "t" });
  for (let moves = 0; run.state === "waiting" && moves < 1_000; moves++) {
    await new Promise((resolve) => setTimeout(resolve));
    await rotor.advance("50ms");
  }
  const end = run.state === "completed" ? { value: run.result } : { error: run.error?.name ?? run.held ?? run.state };
  const wanted = await Promise.race([
    expected(tree, "p", notes.winners).then(
      (value) => ({ value }),
      (error: Error) => ({ error: error.name }),
    ),
    new Promise((resolve) => setImmediate(() => setImmediate(() => resolve("the interpreter hangs")))),
  ]);
  const twice = [...notes.executed].filter(([, times]) => times.length > 1).map(([place]) => `${place} ran twice`);
  const problems = [...notes.violations, ...twice];
  if (JSON.stringify(end) !== JSON.stringify(wanted))
    problems.push(`ended ${JSON.stringify(end)}, not ${JSON.stringify(wanted)}`);
  return problems.map((problem) => `${JSON.stringify(tree)}: ${problem}`);
}

test(`random programs come to what the interpreter says (seed ${SEED})`, async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const problems: string[] = [];
  for (const tree of fc.sample(program, { numRuns: 300, seed: SEED }))
    problems.push(...(await endInTestRotor(atOnce(tree))));
  expect(problems).toEqual([]);
  vi.restoreAllMocks();
});
