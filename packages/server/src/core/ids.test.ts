import { expect, test } from "vitest";
import { isId, newId } from "./ids.js";

test("ids made one after the other are in order, and none is made twice", () => {
  const ids = Array.from({ length: 50_000 }, newId);
  expect(ids).toEqual([...new Set(ids)].sort());
  expect(ids.every((id) => isId(id) && /^.{14}7.{4}[89ab]/.test(id))).toBe(true);
});
