import { test } from "vitest";
import { walk } from "./testing-kit/walk.js";

test("retries", async () => {
  await walk("docs/retries-and-dead-letters.md");
});
