/** What is written for the reader before he sends what a run waits for. */
import { expect, test } from "vitest";
import { dataFor, partsOf } from "./prefill.js";

test("an object of equalities becomes data, by dotted path", () => {
  expect(dataFor({ name: null, event: "e", equals: { "order.id": "o-1", "order.total": 3, ok: true } }, null)).toEqual({
    order: { id: "o-1", total: 3 },
    ok: true,
  });
});

test("plain equalities of an expression are read, those with the run's own event too", () => {
  const cel = `data.contactId == "c \\"1\\"" && data.kind == 'open' && data.n == -1.5 && data.user.id == trigger.data.user.id && data.free > 3`;
  expect(dataFor({ name: null, event: "e", cel }, { user: { id: 7 } })).toEqual({
    contactId: 'c "1"',
    kind: "open",
    n: -1.5,
    user: { id: 7 },
  });
});

test("a name that every object has is data as any other", () => {
  const data = dataFor({ name: null, event: "e", equals: { "__proto__.polluted": "yes", constructor: 1 } }, null);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect(JSON.stringify(data)).toBe('{"__proto__":{"polluted":"yes"},"constructor":1}');
});

test("a wait is for one thing, for several, or for neither event nor signal", () => {
  expect(partsOf({ event: "e" })).toEqual([{ name: null, event: "e" }]);
  expect(
    partsOf({
      parts: [
        { name: "a", event: "e" },
        { name: "b", signal: "s" },
      ],
    }),
  ).toHaveLength(2);
  expect(partsOf({ job: "x" })).toEqual([]);
  expect(partsOf(null)).toEqual([]);
});
