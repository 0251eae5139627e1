/** What a random program comes to: the same interpreter on plain values, given how its races ended. */
import { resultOf } from "./operations.js";
import { ATTEMPTS, execute, type Operations, type Program, type Value } from "./program.js";

/** How a program ended: with a value, or an error of this name. */
export type End = { readonly value: Value } | { readonly error: string };

const named = (name: string): Error => Object.assign(new Error(name), { name });

function reference(winners: ReadonlyMap<string, number>): Operations {
  const on: Operations = {
    run: async (_id, at, failures) => {
      if (failures >= ATTEMPTS) throw named("StepError");
      return at;
    },
    sleep: async () => {},
    event: async (_leaf, at) => at,
    signal: async (_id, at) => at,
    silence: async () => null,
    send: async () => {},
    job: async (_id, at) => at,
    invoke: (_id, at, body) =>
      execute(body, `${at}.i`, on).catch(() => {
        throw named("WorkflowFailedError");
      }),
    throws: () => {
      throw named("NonRetriableError");
    },
    chance: async (at, parts, how) => {
      const winner = winners.get(at);
      // A part that the real run never came to, since its branch had lost: it hangs here as there.
      return winner === undefined ? new Promise<never>(() => {}) : resultOf(parts, how, winner);
    },
  };
  return on;
}

/** The end that the program must come to; undefined if the code, by its notes, cannot have come to any. */
export function expected(
  program: Program,
  path: string,
  winners: ReadonlyMap<string, number>,
): Promise<End | undefined> {
  const end = execute(program, path, reference(winners)).then(
    (value): End => ({ value }),
    (error: Error): End => ({ error: error.name }),
  );
  // Nothing in it waits for anything but promises, so whatever can end has ended after a turn of the event loop.
  return Promise.race([
    end,
    new Promise<undefined>((resolve) => setImmediate(() => setImmediate(() => resolve(undefined)))),
  ]);
}
