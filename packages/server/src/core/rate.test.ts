import fc from "fast-check";
import { expect, test } from "vitest";
import { RATE_PARTS, type RateCounts, roomAt, spend } from "./rate.js";

const EMPTY: RateCounts = { bucket: null, counts: [] };

/** Begins as many as there is room for, up to what is wanted, at each instant. */
function beginnings(rate: { limit: number; periodMs: number }, asks: readonly { atMs: number; wanted: number }[]) {
  let state = EMPTY;
  const begun: number[] = [];
  for (const { atMs, wanted } of asks) {
    const { room, now } = roomAt(rate, state, atMs);
    const count = Math.min(room, wanted);
    state = spend(now, count);
    begun.push(...new Array<number>(count).fill(atMs));
  }
  return begun;
}

test("no span of a period sees more than the limit, wherever it starts", () => {
  const asks = fc.array(
    fc.record({ gapMs: fc.integer({ min: 0, max: 3_000 }), wanted: fc.integer({ min: 1, max: 30 }) }),
    {
      maxLength: 60,
    },
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 100, max: 5_000 }),
      asks,
      (limit, periodMs, gaps) => {
        let atMs = 1_700_000_000_123;
        const begun = beginnings(
          { limit, periodMs },
          gaps.map(({ gapMs, wanted }) => {
            atMs += gapMs;
            return { atMs, wanted };
          }),
        );
        for (const [first, from] of begun.entries()) {
          const within = begun.slice(first).filter((at) => at < from + periodMs);
          expect(within.length).toBeLessThanOrEqual(limit);
        }
      },
    ),
  );
});

test("a limit that is always used up gives twenty of twenty-one parts of its rate", () => {
  const rate = { limit: 100, periodMs: 2_000 };
  const asks = Array.from({ length: 210_000 }, (_, n) => ({ atMs: 1_700_000_000_000 + n, wanted: 100 }));
  const begun = beginnings(rate, asks);
  expect(begun.length).toBeGreaterThanOrEqual(100 * Math.floor((210_000 / 2_000) * (RATE_PARTS / (RATE_PARTS + 1))));
});

test("where there is no room it says when there is, and then there is", () => {
  const rate = { limit: 3, periodMs: 1_000 };
  const at = 1_700_000_000_010;
  const first = roomAt(rate, EMPTY, at);
  expect(first).toMatchObject({ room: 3, openInMs: 0 });
  const state = spend(first.now, 3);
  const full = roomAt(rate, state, at + 20);
  expect(full.room).toBe(0);
  expect(full.openInMs).toBeGreaterThan(900);
  expect(roomAt(rate, state, at + 20 + full.openInMs - 1).room).toBe(0);
  expect(roomAt(rate, state, at + 20 + full.openInMs).room).toBe(3);
});

test("a clock that goes back neither gives nor takes room", () => {
  const rate = { limit: 2, periodMs: 1_000 };
  const state = spend(roomAt(rate, EMPTY, 1_700_000_000_000).now, 1);
  expect(roomAt(rate, state, 1_600_000_000_000).room).toBe(1);
});
