import fc from "fast-check";
import { expect, test } from "vitest";
import { createFunction } from "./function.js";
import type { Answer, Json } from "./protocol.js";
import type { Step } from "./step.js";
import { startPeer } from "./testing-kit/peer.js";

type Leaf = { readonly kind: "step" | "sleep" | "fail"; readonly n: number; readonly parts?: undefined };

/** A program over steps, small enough to be generated. */
type Program = Leaf | { readonly kind: "sequence" | "all" | "race" | "settled"; readonly parts: readonly Program[] };

const { program } = fc.letrec<{ program: Program }>((tie) => ({
  program: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    fc.record({
      kind: fc.constantFrom("step", "step", "sleep", "fail"),
      n: fc.integer({ min: 0, max: 3 }),
    }) as fc.Arbitrary<Program>,
    fc.record({
      kind: fc.constantFrom("sequence", "all", "race", "settled"),
      parts: fc.array(tie("program"), { minLength: 1, maxLength: 4 }),
    }) as fc.Arbitrary<Program>,
  ),
}));

type Execute = (program: Program, path: string) => Promise<Json>;

/** Which branch of a race wins is chance, once; what is asked is that it stays the winner. */
const executor = (step: Step, branches: (path: string, winner: number) => void): Execute => {
  const leaf = async ({ kind, n }: Leaf): Promise<Json> => {
    if (kind === "step") return step.run(`s${n}`, () => `${n}`);
    if (kind === "sleep") return step.sleep(`z${n}`, `${n}h`).then(() => "slept");
    const failing = step.run(`f${n}`, () => Promise.reject(new Error("x")), { retries: 0 });
    return failing.then(
      () => "never",
      (error: Error) => error.name,
    );
  };
  const execute: Execute = async (one, path) => {
    if (one.parts === undefined) return leaf(one);
    if (one.kind === "sequence") {
      const all: Json[] = [];
      for (const [i, part] of one.parts.entries()) all.push(await execute(part, `${path}.${i}`));
      return all;
    }
    const parts = one.parts.map((part, i) => execute(part, `${path}.${i}`));
    if (one.kind === "all") return Promise.all(parts);
    if (one.kind === "settled") return (await Promise.allSettled(parts)).map(({ status }) => status);
    const [winner, value] = await Promise.race(parts.map((part, i) => part.then((result) => [i, result] as const)));
    branches(path, winner);
    return [winner, value];
  };
  return execute;
};

type Cut = "go" | "stale" | "yield" | "lost";

/** Runs the program to its end, the n-th checkpoint cut by the n-th of `cuts`; checks on the way that nothing stored changes. */
async function run(tree: Program, cuts: readonly Cut[]): Promise<Answer> {
  const winners = new Map<string, number>();
  const stored = new Map<string, string>();
  const fn = createFunction({ id: "f" }, ({ step }) =>
    executor(step, (path, winner) => {
      expect(winners.get(path) ?? winner).toBe(winner);
      winners.set(path, winner);
    })(tree, "p"),
  );
  const peer = await startPeer([fn]);
  try {
    let cut = 0;
    peer.intervene = (_run, reports) => (reports.length === 0 ? undefined : cuts[cut++]);
    const one = peer.create("f");
    let answer = await peer.deliver(one);
    for (let i = 0; answer.status !== "completed" && i < 100; i++) {
      expect(["waiting", "yield", "stale"]).toContain(answer.status);
      for (const { key, state, seq, output, error } of one.wireSteps()) {
        if (state === "waiting") continue;
        const text = JSON.stringify([seq, output, error?.name]);
        expect(stored.get(key) ?? text).toBe(text);
        stored.set(key, text);
      }
      if (answer.status === "waiting") peer.clock.nowMs = Math.max(peer.clock.nowMs, one.earliestDueMs);
      answer = await peer.deliver(one);
    }
    expect(answer.status).toBe("completed");
    return answer;
  } finally {
    await peer.close();
  }
}

const hasRace = (tree: Program): boolean => tree.kind === "race" || (tree.parts ?? []).some(hasRace);

test("a random program gives the same results and takes the same branches wherever its deliveries are cut", async () => {
  const cuts = fc.array(fc.constantFrom<Cut>("go", "go", "stale", "yield", "lost"), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(program, cuts, async (tree, where) => {
      const answer = await run(tree, where);
      // Who wins a race for the first time is chance; without one the result is the program's alone.
      if (!hasRace(tree)) expect(answer).toEqual(await run(tree, []));
    }),
    { numRuns: 300 },
  );
});
