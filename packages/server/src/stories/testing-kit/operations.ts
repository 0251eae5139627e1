/** `Operations` of a random program on the steps of a real run, noting what its code saw. */
import type { Step } from "@rotorsh/sdk";
import { createFunction, NonRetriableError } from "@rotorsh/sdk";
import type { Note } from "./notes.js";
import { ATTEMPTS, type Chance, execute, type Operations, type Program, type Value } from "./program.js";

type Data = { readonly program: Program; readonly path: string; readonly token: string };
type Sent = { readonly at: string; readonly nonce: number };

/** What comes to a program from outside: an event of this id, or the completion of the signal of this id. */
export type Delivery = {
  readonly kind: "event" | "signal";
  readonly id: string;
  readonly data: Sent & { token: string };
};

/** Where programs are carried out. */
export type World<By> = {
  readonly note: (note: Note<By>) => void;
  /** The delivery in which the code that asks is running. */
  readonly by: () => By;
  /** Resolves when it has been sent and acknowledged. What was sent before under this id is not sent again. */
  readonly send: (what: Delivery) => Promise<void>;
  /** Resolves when it is sure to be sent so many milliseconds from now, whatever becomes of the app. */
  readonly sendLater: (what: Delivery, ms: number) => Promise<void>;
};

/** The queue of callback jobs that programs enqueue; each answers `answerOf` its payload. */
export const JOBS = "program-jobs";
/** Longer than any fault lasts: a wait that comes to its end by time has missed what it waited for. */
const TIMEOUT = "10m";

/** What the endpoint of `JOBS` answers to an attempt, from 1; undefined: it fails. */
export function answerOf(payload: { at: string; failures: number }, attempt: number): Sent | undefined {
  return attempt <= payload.failures ? undefined : { at: payload.at, nonce: Math.random() };
}

/** The function that carries out the program in its event. */
export const programFunction = <By>(id: string, world: World<By>) =>
  createFunction({ id, retries: 200 }, ({ event, step }) => {
    const { program, path, token } = event.data as Data;
    return execute(program, path, onSteps(id, step, token, world));
  });

function onSteps<By>(workflow: string, step: Step, token: string, world: World<By>): Operations {
  const wrong = (path: string, why: string) => world.note({ token, path, what: "wrong", why });
  const saw = (path: string, result: Sent): Value => {
    if (result.at !== path) wrong(path, `got the result of ${result.at}`);
    world.note({ token, path, what: "saw", by: world.by(), value: result.nonce });
    return result.at;
  };
  const delivery = (kind: Delivery["kind"], path: string): Delivery => ({
    kind,
    id: `${token}/${path}`,
    data: { token, at: path, nonce: Math.random() },
  });
  const later = (kind: Delivery["kind"], path: string, ms: number) =>
    // From outside any step, at each replay: what fails then is asked for again, or is of a delivery that is over.
    void world.sendLater(delivery(kind, path), ms).catch(() => undefined);
  return {
    run: async (id, path, failures, fatal) => {
      const code = ({ attempt }: { attempt: number }) => {
        if (fatal) throw new NonRetriableError("fatal");
        if (attempt <= failures) throw new Error(`attempt ${attempt}`);
        world.note({ token, path, what: "ran", by: world.by() });
        return { at: path, nonce: Math.random() };
      };
      return saw(path, await step.run(id, code, { retries: ATTEMPTS - 1, backoff: ["5ms"] }));
    },
    sleep: (id, ms) => step.sleep(id, `${ms}ms`),
    event: async ({ id, sent, ms }, path) => {
      const what = delivery("event", path);
      if (sent === "before") await step.run(`b${id}`, () => world.send(what), { retries: 20 });
      if (sent === "during") await step.run(`b${id}`, () => world.sendLater(what, ms), { retries: 20 });
      const match = { token, at: path };
      const waiting = step.waitForEvent<Sent>(`w${id}`, { event: "story", match, timeout: TIMEOUT });
      if (sent === "driver") later("event", path, ms);
      const data = await waiting;
      if (data === null) wrong(path, "the event was missed");
      return data === null ? null : saw(path, data);
    },
    signal: async (id, path, ms) => {
      const waiting = step.waitForSignal<Sent>(id, { signal: `${token}/${path}`, timeout: TIMEOUT });
      later("signal", path, ms);
      return saw(path, await waiting);
    },
    silence: async (id, path) => {
      const data = await step.waitForEvent(id, { event: "story", match: { at: `never ${path}` }, timeout: "20ms" });
      if (data !== null) wrong(path, "got an event that does not match");
      return null;
    },
    send: async (id, path) => void (await step.sendEvent(id, { name: "noise", data: { token, at: path } })),
    job: async (id, path, failures) =>
      saw(path, await step.enqueue<Sent>(id, JOBS, { payload: { at: path, failures } }, { wait: true })),
    invoke: async (id, path, body) => {
      const data = { program: body, path: `${path}.i`, token };
      return (await step.invoke<Value>(id, { workflow, data, timeout: TIMEOUT })).result;
    },
    throws: (path) => {
      throw new NonRetriableError(path);
    },
    chance: async (path, parts, how) => {
      const winner = await winnerOf(parts, how);
      world.note({ token, path, what: "winner", value: winner });
      return resultOf(parts, how, winner);
    },
  };
}

/** Which part decides: the first to end in a race, to succeed in `any`, to fail in `all`. -1: none did, all others have ended. */
function winnerOf(parts: readonly Promise<Value>[], how: Chance): Promise<number> {
  const numbered = parts.map((part, n) =>
    part.then(
      () => ({ n, failed: false }),
      () => ({ n, failed: true }),
    ),
  );
  if (how === "race") return Promise.race(numbered).then(({ n }) => n);
  const decides = numbered.map((part) =>
    part.then(({ n, failed }) => (failed === (how === "all") ? n : Promise.reject(n))),
  );
  return Promise.any(decides).catch(() => -1);
}

/** What the parts come to together, their winner being this one. */
export async function resultOf(parts: readonly Promise<Value>[], how: Chance, winner: number): Promise<Value> {
  if (winner !== -1) return parts[winner]!;
  if (how === "all") return Promise.all(parts);
  // As an AggregateError it would be tried again, and again.
  throw new NonRetriableError("none succeeded");
}
