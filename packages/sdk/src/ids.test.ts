import { expect, test } from "vitest";
import { uuidv7 } from "./ids.js";

test("a UUID has version 7, the variant of RFC 9562 and the time in front", () => {
  const ids = Array.from({ length: 1_000 }, () => uuidv7(0x0199_a1b2_c3d4));
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^0199a1b2-c3d4-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("a later UUID sorts after an earlier one", () => {
  expect(uuidv7(1_790_000_000_001) > uuidv7(1_790_000_000_000)).toBe(true);
});
