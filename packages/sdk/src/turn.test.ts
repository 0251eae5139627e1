import { afterEach, expect, test, vi } from "vitest";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

test.each([
  ["setImmediate", globalThis.setImmediate],
  ["a MessageChannel", undefined],
])("a turn by %s comes after every continuation that is ready, and those that follow from it", async (_, immediate) => {
  vi.stubGlobal("setImmediate", immediate);
  const { turn } = await import("./turn.js");
  const seen: string[] = [];
  const chain = async () => {
    for (let i = 0; i < 100; i++) await null;
    seen.push("continuations");
  };
  void chain();
  await turn();
  seen.push("turn");
  expect(seen).toEqual(["continuations", "turn"]);
});
