/**
 * Random programs on a real server, over a network that fails at random: each comes to what a plain interpreter says, no
 * result changes, and no step's code runs twice but where its own delivery failed. `ROTOR_PROGRAMS=500` runs more,
 * `ROTOR_SEED=…` the same again.
 */
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CheckpointFault, Delivered, DeliveryFault } from "../testing-kit/faulty-app.js";
import { currentDelivery, faultyApp } from "../testing-kit/faulty-app.js";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { add, type Notes, newNotes } from "./testing-kit/notes.js";
import { answerOf, JOBS, programFunction, type World } from "./testing-kit/operations.js";
import { type Program, program } from "./testing-kit/program.js";
import { expected } from "./testing-kit/reference.js";

const PROGRAMS = Number(process.env.ROTOR_PROGRAMS ?? 50);
const SEED = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SIDE_BY_SIDE = 20;

let server: TestServer;
type By = Delivered | undefined;
const notes = new Map<string, Notes<By>>();

beforeAll(async () => {
  server = await testServer();
  const callbackUrl = await server.serve(async (request, response) => {
    const answer = answerOf(JSON.parse(await text(request)), Number(request.headers["x-rotor-attempt"]));
    response.writeHead(answer ? 200 : 500, { "content-type": "application/json" }).end(JSON.stringify(answer ?? null));
  });
  const retry = { maxAttempts: 5, backoff: "fixed", min: "10ms" } as const;
  await server.rotor.queues.create(JOBS, { callbackUrl, retry });
});
afterAll(() => server.close());

const ended = new Set<string>();
const inMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const sent = new Set<string>();

/** Everything in this process: what it is sure to send later it sends from here. */
const world: World<By> = {
  note: (note) => add(notes.get(note.token)!, note),
  by: currentDelivery,
  async send({ kind, id, data }) {
    if (kind === "event") await server.rotor.send({ name: "story", id, data });
    // It may not be waited for yet, or never, where its branch has lost: then not after the program's end.
    for (let ms = 20; kind === "signal" && !ended.has(data.token); ms = Math.min(500, ms * 2)) {
      const done = await server.rotor.signals.complete(id, data).catch((error) => {
        if (error.status !== 404) throw error;
      });
      if (done !== undefined) return;
      await inMs(ms);
    }
  },
  async sendLater(what, ms) {
    if (sent.has(what.id)) return;
    sent.add(what.id);
    void inMs(ms)
      .then(() => this.send(what))
      .catch((error) => world.note({ token: what.data.token, path: what.data.at, what: "wrong", why: `${error}` }));
  },
};

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

/** Programs that once came to something else, as `npm run faults -- programs` kept them. */
const kept = JSON.parse(
  readFileSync(new URL("../../../../faults/seeds/regressions.json", import.meta.url), "utf8"),
) as { readonly program: Program }[];

async function check(name: string, tree: Program, token: string): Promise<string[]> {
  const own = newNotes<By>();
  notes.set(token, own);
  const { runId } = await server.rotor.runs.start(name, { program: tree, path: "p", token });
  const end = await server.rotor.runs.result(runId, { timeout: "90s" }).then(
    (value) => ({ value }),
    (error: Error & { cause?: Error }) => ({ error: error.cause?.name ?? `${error.name}: ${error.message}` }),
  );
  const wanted = await expected(tree, "p", own.winners);
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
  ended.add(token);
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
    await faultyApp(server, name, [programFunction(name, world)], {
      delivery: () => pick(deliveryFaults, rate, "none"),
      checkpoint: () => pick(checkpointFaults, rate / 2, "none"),
      afterMs: () => dice() * 60,
    });
    const trees = [...kept.map((one) => one.program), ...fc.sample(program, { numRuns: PROGRAMS, seed: SEED })];
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
