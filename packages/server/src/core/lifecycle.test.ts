import type { LifecycleType as Public } from "@rotorsh/sdk";
import { expect, test } from "vitest";
import {
  happeningsOf,
  type JobFacts,
  jobData,
  LIFECYCLE_TYPES,
  type LifecycleType,
  lifecycleBody,
  typeOf,
  wants,
} from "./lifecycle.js";

const error = (name: string, more: object = {}): string => JSON.stringify({ name, message: "m", ...more });

test.each([
  { outcome: "completed", state: "completed", error: null, told: ["completed"] },
  { outcome: "failed", state: "failed", error: error("HttpError"), told: ["failed"] },
  { outcome: "retry", state: "waiting", error: error("HttpError"), told: [] },
  { outcome: "cancelled", state: "cancelled", error: null, told: [] },
  { outcome: "held", state: "waiting", error: error("DivergedError"), told: ["held"] },
  { outcome: "orphaned", state: "waiting", error: error("OrphanedError"), told: ["stalled"] },
  { outcome: "expired", state: "waiting", error: error("TimeoutError"), told: ["stalled"] },
  { outcome: "expired", state: "failed", error: error("TimeoutError"), told: ["stalled", "failed"] },
  { outcome: "rejected", state: "failed", error: error("RejectedError"), told: ["rejected", "failed"] },
  { outcome: "expired", state: "failed", error: error("ExpiredError"), told: ["lapsed", "failed"] },
  { outcome: "retry", state: "waiting", error: error("UnknownSecretError"), told: ["undeliverable"] },
  {
    outcome: "retry",
    state: "waiting",
    error: error("UnreachableError", { code: "blocked" }),
    told: ["undeliverable"],
  },
  { outcome: "retry", state: "waiting", error: error("UnreachableError", { code: "refused" }), told: [] },
] as const)("an end $outcome → $state with $error is told as $told", ({ told, ...end }) => {
  expect(happeningsOf(end)).toEqual(told);
});

test("the same happening has a type of its own for jobs and for runs, or none", () => {
  expect(typeOf("failed", "callback")).toBe("job.failed");
  expect(typeOf("failed", "function")).toBe("run.failed");
  expect(typeOf("held", "callback")).toBeUndefined();
  // A held run that nobody mended was no approval.
  expect(typeOf("lapsed", "function")).toBeUndefined();
});

test("a webhook wants its own types, or all", () => {
  expect(wants(["job.failed"], "job.failed")).toBe(true);
  expect(wants(["job.failed"], "job.completed")).toBe(false);
  expect(wants(["*"], "queue.late.recovered")).toBe(true);
});

test("an event is small, however long its error, and keeps the id of its job", () => {
  const facts: JobFacts = {
    id: "j",
    key: "rotor:tick:1/x",
    queue: "q",
    kind: "callback",
    state: "failed",
    attempt: 2,
    maxAttempts: 2,
    tags: null,
    createdAt: new Date(0),
    runAt: new Date(0),
    parentId: null,
    error: error("E".repeat(10_000), { message: "x".repeat(1_000_000), stack: "y".repeat(1_000_000) }),
  };
  const data = jobData("failed", facts);
  const body = lifecycleBody({ id: "e", type: "job.failed", createdAt: new Date(0), workspace: "default", data });
  expect(body.byteLength).toBeLessThan(4_096);
  expect(JSON.parse(body.toString())).toMatchObject({ id: "e", data: { job: { id: "j", job_id: null, tags: [] } } });
});

test("the SDK names the same types", () => {
  const known: readonly Public[] = LIFECYCLE_TYPES;
  const back = (type: Public): LifecycleType => type;
  expect(known.map(back)).toEqual(LIFECYCLE_TYPES);
});
