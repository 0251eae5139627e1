import { expect, test } from "vitest";
import { memoryOf } from "./leaks.mjs";

const MiB = 1024 * 1024;
const samples = (bytesAt, pid = 1) =>
  Array.from({ length: 60 }, (_, n) => ({ t: n * 60_000, pid, bytes: bytesAt(n), rss: 100 * MiB }));

test("memory that grows has a slope, and what was before it was warm does not count", () => {
  expect(memoryOf(samples((n) => (30 + n / 10) * MiB)).memorySlopeMbIn10Min).toBeCloseTo(1, 1);
  expect(memoryOf(samples((n) => (n < 10 ? n : 30 + (n % 2)) * MiB)).memorySlopeMbIn10Min).toBeLessThan(0.1);
});

test("only the last life of a node is looked at", () => {
  const first = samples((n) => n * 10 * MiB, 1);
  const last = samples(() => 30 * MiB, 2).map((each) => ({ ...each, t: each.t + 3_600_000 }));
  expect(memoryOf([...first, ...last])).toMatchObject({ memoryGrowthMb: 0, memorySlopeMbIn10Min: 0 });
});
