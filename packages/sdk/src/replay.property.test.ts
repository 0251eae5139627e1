import fc from "fast-check";
import { expect, test } from "vitest";
import { createFunction } from "./function.js";
import type { Json } from "./protocol.js";
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

test("a random program gives the same results and takes the same branches wherever its deliveries are cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      program,
      fc.array(fc.constantFrom("go", "go", "stale", "yield", "lost"), { maxLength: 12 }),
      async (tree, cuts) => {
        const winners = new Map<string, number>();
        const outputs = new Map<string, string>();
        const fn = createFunction({ id: "f" }, ({ step }) =>
          executor(step, (path, winner) => {
            expect(winners.get(path) ?? winner).toBe(winner);
            winners.set(path, winner);
          })(tree, "p"),
        );
        const peer = await startPeer([fn]);
        try {
          let cut = 0;
          let lost = 0;
          peer.intervene = (_run, reports) => {
            if (reports.length === 0) return undefined;
            const said = cuts[cut++];
            if (said === "lost" && lost++ > 0) return "go" as const;
            return said as "go" | "stale" | "yield" | "lost" | undefined;
          };
          const run = peer.create("f");
          let answer = await peer.deliver(run);
          for (let i = 0; answer.status !== "completed" && i < 100; i++) {
            expect(["waiting", "yield", "stale"]).toContain(answer.status);
            for (const step of run.wireSteps()) {
              if (step.state === "waiting") continue;
              const stored = JSON.stringify([step.seq, step.output, step.error?.name]);
              expect(outputs.get(step.key) ?? stored).toBe(stored);
              outputs.set(step.key, stored);
            }
            if (answer.status === "waiting") peer.clock.nowMs = Math.max(peer.clock.nowMs, run.earliestDueMs);
            answer = await peer.deliver(run);
          }
          expect(answer.status).toBe("completed");
        } finally {
          await peer.close();
        }
      },
    ),
    { numRuns: 300 },
  );
});
