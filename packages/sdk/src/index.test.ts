import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import * as sdk from "./index.js";
import { Rotor, verifyRotorSignature } from "./index.js";

test("the package exports these names and no others", () => {
  expect(Object.keys(sdk).sort()).toEqual([
    "NonRetriableError",
    "RetryAfterError",
    "Rotor",
    "RotorApiError",
    "RotorConnectionError",
    "RotorError",
    "RotorInputError",
    "SignalTimeoutError",
    "StepError",
    "WorkflowCancelledError",
    "WorkflowFailedError",
    "WorkflowSkippedError",
    "WorkflowTimeoutError",
    "callbackHandler",
    "createFunction",
    "defineEvent",
    "newSecret",
    "nodeHandler",
    "serveWorkflow",
    "verifyRotorSignature",
    "verifyRotorWebhook",
    "workflowHandler",
  ]);
});

// What a bundler for another runtime follows: values only, with the portable side of the imports map.
function importedFrom(file: string, found: Set<string> = new Set()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  if (!file.endsWith(".ts")) return found;
  const source = readFileSync(new URL(file, import.meta.url), "utf8");
  for (const [, from] of source.matchAll(/^(?:import|export)(?! type)[^;]*? from "([^"]+)";/gms)) {
    const portable = from!.replace(/^#(.*)$/, "/$1.portable.js");
    const next = /^[./]/.test(portable)
      ? new URL(portable, new URL(file, "file:///")).pathname.replace(/\.js$/, ".ts")
      : portable;
    importedFrom(next.replace(/^\//, "./"), found);
  }
  return found;
}

test("what other runtimes load has nothing of Node in it and nothing of others but the hash library", () => {
  const modules = [...importedFrom("./index.ts")];
  expect(modules).toContain("./hmac.portable.ts");
  expect(modules).toContain("./client/call.ts");
  expect(modules.filter((name) => !name.startsWith("./")).sort()).toEqual([
    "@noble/hashes/hmac.js",
    "@noble/hashes/sha2.js",
    "@noble/hashes/utils.js",
  ]);
});

test("a handler as the guide has it compiles with a secret from the environment", () => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const context = { req: { header: (_name: string): string | undefined => undefined } };
  const secret = process.env.ROTOR_SECRET_OF_NO_ONE;
  expect(verifyRotorSignature("{}", context.req.header("x-rotor-signature"), secret)).toBe(false);
  expect(new Rotor().queues.create).toBeTypeOf("function");
});
