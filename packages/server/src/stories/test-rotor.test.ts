/** The SDK's testing kit does as the server does: the same programs end the same in both, step by step. */
import { testRotor } from "@rotorsh/sdk/testing";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { add, newNotes } from "./testing-kit/notes.js";
import { type Delivery, programFunction, type World } from "./testing-kit/operations.js";
import { scenarios } from "./testing-kit/parity-scenarios.js";
import { playInTestRotor, playOnServer } from "./testing-kit/parity-stage.js";
import { type Program, program } from "./testing-kit/program.js";
import { expected } from "./testing-kit/reference.js";

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

/** The same program without what comes from outside of the kit: an endpoint's answers. */
const inKit = (one: Program): Program => {
  if (one.kind === "job") return { kind: "run", id: one.id, failures: one.failures };
  if ("parts" in one) return { ...one, parts: one.parts.map(inKit) };
  return "body" in one ? { ...one, body: inKit(one.body) } : one;
};

async function endInTestRotor(tree: Program): Promise<string[]> {
  const notes = newNotes<undefined>();
  /** What is still to be sent: an event at once, a signal as soon as somebody waits for it. */
  const coming: Delivery[] = [];
  const world: World<undefined> = {
    note: (note) => add(notes, note),
    by: () => undefined,
    send: async (what) => {
      coming.push(what);
      await sendAll("event");
    },
    sendLater: async (what) => void coming.push(what),
  };
  const isWaitedFor = (id: string): boolean =>
    rotor.runs.some((each) => each.waitsFor.some(({ signals }) => signals.includes(id)));
  const sendAll = async (kind: Delivery["kind"]): Promise<void> => {
    for (const what of coming.filter((each) => each.kind === kind)) {
      // What was sent before may have ended the wait for this one.
      if (kind === "signal" && !isWaitedFor(what.id)) continue;
      // Several steps send at the same time: another of them may have sent it meanwhile.
      const place = coming.indexOf(what);
      if (place === -1) continue;
      coming.splice(place, 1);
      if (kind === "event") await rotor.send({ name: "story", id: what.id, data: what.data });
      else await rotor.signal(what.id, what.data);
    }
  };
  const fn = programFunction("program", world);
  const rotor = testRotor({ functions: [fn] });
  const run = await rotor.start(fn, { program: tree, path: "p", token: "t" });
  for (let moves = 0; run.state === "waiting" && moves < 1_000; moves++) {
    await sendAll("event");
    await sendAll("signal");
    await new Promise((resolve) => setTimeout(resolve));
    await rotor.advance("50ms");
  }
  const end = run.state === "completed" ? { value: run.result } : { error: run.error?.name ?? run.held ?? run.state };
  const wanted = await expected(tree, "p", notes.winners);
  const twice = [...notes.executed].filter(([, times]) => times.length > 1).map(([place]) => `${place} ran twice`);
  const problems = [...notes.violations, ...twice];
  if (JSON.stringify(end) !== JSON.stringify(wanted))
    problems.push(`ended ${JSON.stringify(end)}, not ${JSON.stringify(wanted)}`);
  return problems.map((problem) => `${JSON.stringify(tree)}: ${problem}`);
}

test(`random programs come to what the interpreter says (seed ${SEED})`, async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const problems: string[] = [];
  for (const tree of fc.sample(program, { numRuns: 150, seed: SEED }))
    problems.push(...(await endInTestRotor(inKit(tree))));
  expect(problems).toEqual([]);
  vi.restoreAllMocks();
});
