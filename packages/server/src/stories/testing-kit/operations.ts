/** `Operations` of a random program: on the steps of a real run, noting what its code saw; and on plain values. */
import type { Step } from "@rotorsh/sdk";
import { createFunction, NonRetriableError, type Rotor } from "@rotorsh/sdk";
import { currentDelivery, type Delivered } from "../../testing-kit/faulty-app.js";
import { ATTEMPTS, execute, type Operations, type Program, type Value } from "./program.js";

/** What the code of one program did and saw, over all deliveries of its run and its children. */
export type Notes = {
  /** Executions of a step's code that came to a result, by place. */
  readonly executed: Map<string, (Delivered | undefined)[]>;
  /** The winner of each race, by place. */
  readonly winners: Map<string, number>;
  /** The one result that the code saw, by place. */
  readonly seen: Map<string, string>;
  readonly violations: string[];
};

export const newNotes = (): Notes => ({ executed: new Map(), winners: new Map(), seen: new Map(), violations: [] });

function note<T>(map: Map<string, T>, place: string, value: T, notes: Notes): void {
  const before = map.get(place);
  if (before !== undefined && before !== value)
    notes.violations.push(`${place}: saw ${String(value)} after ${String(before)}`);
  map.set(place, value);
}

type Data = { readonly program: Program; readonly path: string; readonly token: string };

/** The function that carries out the program in its event; `notesOf` finds a program's notes by its token. */
export const programFunction = (id: string, rotor: Rotor, notesOf: (token: string) => Notes) =>
  createFunction({ id, retries: 200 }, ({ event, step }) => {
    const { program, path, token } = event.data as Data;
    return execute(program, path, onSteps(id, step, rotor, token, notesOf(token)));
  });

function onSteps(workflow: string, step: Step, rotor: Rotor, token: string, notes: Notes): Operations {
  const send = (path: string) =>
    rotor.send({ name: "story", id: `${token}/${path}`, data: { token, at: path, nonce: Math.random() } });
  const saw = (path: string, result: { at: string; nonce: number }): Value => {
    if (result.at !== path) notes.violations.push(`${path} got the result of ${result.at}`);
    note(notes.seen, path, String(result.nonce), notes);
    return result.at;
  };
  const run: Operations["run"] = async (id, path, failures, fatal) => {
    const code = ({ attempt }: { attempt: number }) => {
      if (fatal) throw new NonRetriableError("fatal");
      if (attempt <= failures) throw new Error(`attempt ${attempt}`);
      notes.executed.set(path, [...(notes.executed.get(path) ?? []), currentDelivery()]);
      return { at: path, nonce: Math.random() };
    };
    return saw(path, await step.run(id, code, { retries: ATTEMPTS - 1, backoff: ["5ms"] }));
  };
  return {
    run,
    sleep: (id, ms) => step.sleep(id, `${ms}ms`),
    event: async ({ id, sent, ms }, path) => {
      const afterMs = () =>
        void setTimeout(() => void send(path).catch((error) => notes.violations.push(`${error}`)), ms);
      if (sent === "before") await step.run(`b${id}`, async () => void (await send(path)));
      if (sent === "during") await step.run(`b${id}`, afterMs);
      const waiting = step.waitForEvent<{ at: string; nonce: number }>(`w${id}`, {
        event: "story",
        match: { token, at: path },
        timeout: "2m",
      });
      if (sent === "driver") afterMs();
      const data = await waiting;
      if (data === null) notes.violations.push(`${path}: the event was missed`);
      return data === null ? null : saw(path, data);
    },
    silence: async (id, path) => {
      const data = await step.waitForEvent(id, { event: "story", match: { at: `never ${path}` }, timeout: "20ms" });
      if (data !== null) notes.violations.push(`${path}: got an event that does not match`);
      return null;
    },
    send: async (id, path) => void (await step.sendEvent(id, { name: "noise", data: { token, at: path } })),
    invoke: async (id, path, body) => {
      const data = { program: body, path: `${path}.i`, token };
      return (await step.invoke<Value>(id, { workflow, data, timeout: "5m" })).result;
    },
    throws: (path) => {
      throw new NonRetriableError(path);
    },
    chance: async (path, parts, how) => {
      const winner =
        how === "race"
          ? await Promise.race(
              parts.map((part, n) =>
                part.then(
                  () => n,
                  () => n,
                ),
              ),
            )
          : await Promise.all(parts.map((part, n) => part.catch(() => Promise.reject(n)))).then(() => -1, Number);
      note(notes.winners, path, winner, notes);
      return winner === -1 ? Promise.all(parts) : parts[winner]!;
    },
  };
}

const named = (name: string): Error => Object.assign(new Error(name), { name });

/** The reference: what the program comes to, given how its races ended. */
export function expected(program: Program, path: string, winners: ReadonlyMap<string, number>): Promise<Value> {
  const on: Operations = {
    run: async (_id, at, failures) => {
      if (failures >= ATTEMPTS) throw named("StepError");
      return at;
    },
    sleep: async () => {},
    event: async (_leaf, at) => at,
    silence: async () => null,
    send: async () => {},
    invoke: (_id, at, body) =>
      execute(body, `${at}.i`, on).catch(() => {
        throw named("WorkflowFailedError");
      }),
    throws: () => {
      throw named("NonRetriableError");
    },
    chance: async (at, parts) => {
      const winner = winners.get(at);
      // A part that the real run never came to, since its branch had lost: it hangs here as there.
      if (winner === undefined) return new Promise<never>(() => {});
      return winner === -1 ? Promise.all(parts) : parts[winner]!;
    },
  };
  return execute(program, path, on);
}
