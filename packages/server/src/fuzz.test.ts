/**
 * Texts that nobody would write, for every parser of ours: those that were kept, and new ones made from them. None may throw,
 * take long, or take what it must not. `npm run fuzz -- --minutes N` goes on for as long; what it finds is added to the corpus.
 */
import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Target, targets } from "./testing-kit/fuzz/targets.js";

const minutes = Number(process.env.ROTOR_FUZZ_MINUTES ?? 0);
const seed = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const file = new URL("./testing-kit/fuzz/corpus.json", import.meta.url);
const corpus: Readonly<Record<string, readonly string[]>> = JSON.parse(readFileSync(file, "utf8"));

/** Longer than any of them takes on a machine that is busy; a text that backtracks takes for ever. */
const MOST_MS = 2_000;

function wrongIn(target: Target, text: string): string | undefined {
  const begun = performance.now();
  let wrong: string | undefined;
  try {
    wrong = target(text);
  } catch (error) {
    wrong = `it throws ${error instanceof Error ? `${error.name}: ${error.message.slice(0, 200)}` : String(error)}`;
  }
  const ms = performance.now() - begun;
  return wrong ?? (ms > MOST_MS ? `it takes ${Math.round(ms)} ms` : undefined);
}

const PIECES = [
  ..."\0\t\n\r \"'`\\/{}[]()<>:;,.=+-*?!@#$%&|^~_0129eExXnNtTvV",
  "\u00a0",
  "\u00ad",
  "\u200b",
  "\u202e",
  "\ufeff",
  "\ud83d",
  "\ude00",
  "é",
  "١",
  "１",
  "。",
  "①",
  "\\u0000",
  "\\ud800",
  "__proto__",
  "constructor",
  "null",
  "1e999",
  "-0",
  "99999999999999999999",
  "%00",
  "../",
  `\${{ secrets.A }}`,
  "v1=",
  "t=1790000000",
];

/** One change to a text: a piece put in, a part left out, doubled, repeated often, or taken from another text. */
const change = (others: readonly string[]) =>
  fc.tuple(
    fc.constantFrom("insert", "delete", "double", "repeat", "splice", "swap"),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.constantFrom(...PIECES),
    fc.constantFrom(...others),
  );

type Change = [string, number, number, string, string];

function changed(text: string, [kind, from, length, piece, other]: Change): string {
  const at = Math.floor(from * (text.length + 1));
  const end = Math.min(text.length, at + Math.ceil(length * 12));
  const [head, part, rest] = [text.slice(0, at), text.slice(at, end), text.slice(end)];
  switch (kind) {
    case "insert":
      return head + piece + part + rest;
    case "delete":
      return head + rest;
    case "double":
      return head + part + part + rest;
    case "repeat":
      return head + (part || piece).repeat(Math.ceil(length * 300)) + rest;
    case "splice":
      return head + other.slice(Math.floor(length * other.length));
    default:
      return rest + part + head;
  }
}

const texts = (kept: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 200 }) },
    {
      weight: 9,
      arbitrary: fc
        .tuple(fc.constantFrom(...kept), fc.array(change(kept) as fc.Arbitrary<Change>, { minLength: 1, maxLength: 6 }))
        .map(([text, changes]) => changes.reduce(changed, text).slice(0, 100_000)),
    },
  );

/** Keeps what was found, for all runs to come. */
function keep(name: string, text: string): void {
  const all: Record<string, string[]> = JSON.parse(readFileSync(file, "utf8"));
  const kept = all[name] ?? [];
  if (!kept.includes(text)) writeFileSync(file, `${JSON.stringify({ ...all, [name]: [...kept, text] }, null, 2)}\n`);
}

describe.each(Object.keys(targets))("%s", (name) => {
  const target = targets[name]!;
  const kept = corpus[name]!;

  test("is right about all that was kept", () => {
    expect(kept.length).toBeGreaterThanOrEqual(5);
    expect(kept.flatMap((text) => wrongIn(target, text) ?? [])).toEqual([]);
  });

  test(
    `is right about what is made from it (seed ${seed})`,
    () => {
      const share = (minutes * 60_000) / Object.keys(targets).length;
      const property = fc.property(texts(kept), (text) => {
        const wrong = wrongIn(target, text);
        if (wrong !== undefined) throw new Error(wrong);
      });
      const limit =
        minutes > 0
          ? { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: share, markInterruptAsFailure: false }
          : { numRuns: 300 };
      const { failed, counterexample, errorInstance, numRuns } = fc.check(property, { seed, ...limit });
      if (minutes > 0) console.log(`${name}: ${numRuns} texts`);
      if (!failed) return;
      const [text] = counterexample!;
      if (minutes > 0) keep(name, text);
      throw new Error(`${JSON.stringify(text)}: ${(errorInstance as Error).message}`);
    },
    minutes * 60_000 + 60_000,
  );
});
