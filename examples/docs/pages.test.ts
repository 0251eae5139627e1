import { test } from "vitest";
import { walk } from "./testing-kit/walk.js";

test("retries", async () => {
  await walk("docs/retries-and-dead-letters.md");
});
test("limits", async () => {
  await walk("docs/limits.md");
});
test("schedules", async () => {
  await walk("docs/schedules.md");
});
test("signatures", async () => {
  await walk("docs/signatures.md");
});
