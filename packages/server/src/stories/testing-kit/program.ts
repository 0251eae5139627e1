/**
 * Random programs over steps, and one way to carry them out on any `Operations`: on a real run, or on plain values as the
 * reference. What is chance (who wins a race, which of several parts throws first) is asked of `chance`.
 */
import fc from "fast-check";

export type Program =
  | { readonly kind: "run"; readonly id: number; readonly failures: number }
  | { readonly kind: "fails" | "fatal"; readonly id: number }
  | { readonly kind: "throws" }
  | { readonly kind: "sleep"; readonly id: number; readonly ms: number }
  | { readonly kind: "event"; readonly id: number; readonly sent: "before" | "during" | "driver"; readonly ms: number }
  | { readonly kind: "signal"; readonly id: number; readonly ms: number }
  | { readonly kind: "silence"; readonly id: number }
  | { readonly kind: "send"; readonly id: number }
  | { readonly kind: "job"; readonly id: number; readonly failures: number }
  | { readonly kind: "loop"; readonly times: number; readonly body: Program }
  | { readonly kind: "sequence" | Together; readonly parts: readonly Program[] }
  | { readonly kind: "catch" | "finally" | "invoke"; readonly id: number; readonly body: Program };

/** How promises are awaited together: what JavaScript calls them. */
export type Together = "all" | "allSettled" | "race" | "any";

const id = fc.integer({ min: 0, max: 2 });
const ms = fc.integer({ min: 0, max: 60 });
type Kind = Program["kind"];
const kind = <K extends Kind>(...kinds: K[]) => fc.constantFrom(...kinds);

const { part } = fc.letrec<{ part: Program; leaf: Program }>((tie) => ({
  leaf: fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: kind("run"), id, failures: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("fails", "fatal"), id }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("throws") }) },
    { weight: 2, arbitrary: fc.record({ kind: kind("sleep"), id, ms }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: kind("event"), id, sent: fc.constantFrom("before", "during", "driver"), ms }),
    },
    { weight: 1, arbitrary: fc.record({ kind: kind("signal"), id, ms }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("silence"), id }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("send"), id }) },
    { weight: 1, arbitrary: fc.record({ kind: kind("job"), id, failures: fc.nat(1) }) },
  ) as fc.Arbitrary<Program>,
  part: fc.oneof(
    { maxDepth: 3, depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.record({ kind: kind("loop"), times: fc.integer({ min: 1, max: 3 }), body: tie("part") }),
    fc.record({
      kind: kind("sequence", "sequence", "all", "allSettled", "race", "any"),
      parts: fc.array(tie("part"), { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ kind: kind("catch", "catch", "finally", "invoke"), id, body: tie("part") }),
  ) as fc.Arbitrary<Program>,
}));

/** Some parts one after the other: what is a leaf alone would prove little. */
export const program: fc.Arbitrary<Program> = fc
  .array(part, { minLength: 2, maxLength: 5 })
  .map((parts) => ({ kind: "sequence", parts }));

export type Value = string | null | readonly Value[];

/** What a leaf does. `path` names its place in the program, the same for each replay. */
export type Operations = {
  readonly run: (id: string, path: string, failures: number, fatal: boolean) => Promise<Value>;
  readonly sleep: (id: string, ms: number) => Promise<void>;
  readonly event: (leaf: Program & { kind: "event" }, path: string) => Promise<Value>;
  readonly signal: (id: string, path: string, ms: number) => Promise<Value>;
  readonly silence: (id: string, path: string) => Promise<Value>;
  readonly send: (id: string, path: string) => Promise<void>;
  /** A callback job that fails so often and then answers, waited for. */
  readonly job: (id: string, path: string, failures: number) => Promise<Value>;
  readonly invoke: (id: string, path: string, body: Program) => Promise<Value>;
  readonly throws: (path: string) => never;
  /** What these come to together, where that is chance. What it answers is the same each time that it is asked for this path. */
  readonly chance: (path: string, parts: readonly Promise<Value>[], how: Chance) => Promise<Value>;
};

export type Chance = Exclude<Together, "allSettled">;

/** Attempts that a step has: one more than the most failures that are planned and overcome. */
export const ATTEMPTS = 3;

export async function execute(one: Program, path: string, on: Operations): Promise<Value> {
  switch (one.kind) {
    case "run":
      return on.run(`s${one.id}`, path, one.failures, false);
    case "fails":
      return on.run(`s${one.id}`, path, ATTEMPTS, false);
    case "fatal":
      return on.run(`s${one.id}`, path, ATTEMPTS, true);
    case "throws":
      return on.throws(path);
    case "sleep":
      await on.sleep(`z${one.id}`, one.ms);
      return "slept";
    case "event":
      return on.event(one, path);
    case "signal":
      return on.signal(`g${one.id}`, path, one.ms);
    case "silence":
      return on.silence(`w${one.id}`, path);
    case "send":
      await on.send(`e${one.id}`, path);
      return "sent";
    case "job":
      return on.job(`j${one.id}`, path, one.failures);
    case "invoke":
      return on.invoke(`i${one.id}`, path, one.body);
    case "catch":
      try {
        return await execute(one.body, `${path}.c`, on);
      } catch (error) {
        // Another step after it, as a compensation would be.
        return [`caught ${(error as Error).name}`, await on.run(`s${one.id}`, `${path}.h`, 0, false)];
      }
    case "finally":
      try {
        return await execute(one.body, `${path}.t`, on);
      } finally {
        await on.run(`s${one.id}`, `${path}.f`, 0, false);
      }
    case "loop": {
      const all: Value[] = [];
      for (let n = 0; n < one.times; n++) all.push(await execute(one.body, `${path}.${n}`, on));
      return all;
    }
    case "sequence": {
      const all: Value[] = [];
      for (const [n, part] of one.parts.entries()) all.push(await execute(part, `${path}.${n}`, on));
      return all;
    }
    default: {
      const parts = one.parts.map((part, n) => execute(part, `${path}.${n}`, on));
      for (const part of parts) part.catch(() => {});
      if (one.kind !== "allSettled") return on.chance(path, parts, one.kind);
      const ends = await Promise.allSettled(parts);
      return ends.map((end) => (end.status === "fulfilled" ? end.value : `failed ${(end.reason as Error).name}`));
    }
  }
}
