import { expect, test } from "vitest";
import { currentStepKey, nextIdInStep, runWithStepKey } from "./context.js";

test("outside of a step there is no key and no id", () => {
  expect(currentStepKey()).toBeUndefined();
  expect(nextIdInStep()).toBeUndefined();
});

test("the key is seen after an await and in calls made side by side, each step having its own", async () => {
  const seen = async () => {
    await Promise.resolve();
    return [currentStepKey(), nextIdInStep(), nextIdInStep()];
  };
  expect(await Promise.all([runWithStepKey("run/a", seen), runWithStepKey("run/b", seen)])).toEqual([
    ["run/a", "run/a/1", "run/a/2"],
    ["run/b", "run/b/1", "run/b/2"],
  ]);
});

test("a repeat of a step gets the same ids again", () => {
  const ids = () => runWithStepKey("run/a", () => [nextIdInStep(), nextIdInStep()]);
  expect(ids()).toEqual(ids());
});
