/**
 * Random programs on a real server, over a network that fails at random: each comes to what a plain interpreter says, no
 * result changes, and no step's code runs twice but where its own delivery failed. `ROTOR_PROGRAMS=500` runs more,
 * `ROTOR_SEED=…` the same again.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CheckpointFault, DeliveryFault } from "../testing-kit/faulty-app.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { expected, type Notes, newNotes, programFunction } from "./testing-kit/operations.js";
import { type Program, program } from "./testing-kit/program.js";

const PROGRAMS = Number(process.env.ROTOR_PROGRAMS ?? 30);
const SEED = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SIDE_BY_SIDE = 8;

let server: TestServer;
const notes = new Map<string, Notes>();
const notesOf = (token: string): Notes => notes.get(token)!;

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

/** A small generator of its own (mulberry32), so that faults follow the seed as programs do. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const deliveryFaults: readonly DeliveryFault[] = ["cut", "crash", "answer lost", "twice", "late"];
const checkpointFaults: readonly CheckpointFault[] = ["cut", "lost", "refused", "both"];

async function check(name: string, tree: Program, token: string): Promise<string[]> {
  const own = newNotes();
  notes.set(token, own);
  const { runId } = await server.rotor.runs.start(name, { program: tree, path: "p", token });
  const end = await server.rotor.runs.result(runId, { timeout: "90s" }).then(
    (value) => ({ value }),
    (error: Error & { cause?: Error }) => ({ error: error.cause?.name ?? `${error.name}: ${error.message}` }),
  );
  const wanted = await Promise.race([
    expected(tree, "p", own.winners).then(
      (value) => ({ value }),
      (error: Error) => ({ error: error.name }),
    ),
    new Promise((resolve) => setImmediate(() => setImmediate(() => resolve("the interpreter hangs")))),
  ]);
  const problems = [...own.violations];
  if (JSON.stringify(end) !== JSON.stringify(wanted)) {
    problems.push(`ended ${JSON.stringify(end)}, not ${JSON.stringify(wanted)}`);
    const { state, reason, steps } = await server.rotor.runs.get(runId);
    problems.push(JSON.stringify({ state, reason, steps }));
  }
  for (const [place, deliveries] of own.executed) {
    if (deliveries.filter((one) => !one?.faulted).length > 1)
      problems.push(`${place} ran ${deliveries.length} times: ${JSON.stringify(deliveries)}`);
  }
  return problems.map((problem) => `${token} ${JSON.stringify(tree)}: ${problem}`);
}

test.each([
  ["steady", 0],
  ["failing", 0.2],
])(
  `random programs come to what the interpreter says over a %s network (seed ${SEED})`,
  async (name, rate) => {
    const dice = random(SEED);
    const pick = <T>(of: readonly T[], chance: number, none: T): T =>
      dice() < chance ? of[Math.floor(dice() * of.length)]! : none;
    await faultyApp(server, name, [programFunction(name, server.rotor, notesOf)], {
      delivery: () => pick(deliveryFaults, rate, "none"),
      checkpoint: () => pick(checkpointFaults, rate / 2, "none"),
      afterMs: () => dice() * 60,
    });
    const trees = fc.sample(program, { numRuns: PROGRAMS, seed: SEED });
    const todo = trees.map((tree, n) => [tree, `${name} ${n}`] as const);
    const problems: string[] = [];
    const worker = async () => {
      for (let next = todo.shift(); next; next = todo.shift()) problems.push(...(await check(name, ...next)));
    };
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
    expect(problems).toEqual([]);
  },
  30_000 + PROGRAMS * 2_000,
);
