/** Random histories of a queue, as plain data: what is done, and to which of the things that are there by then. */
import fc from "fast-check";
import type { Ending } from "./queue-model.js";

/** The n-th of what there is when it is done, counted round and round. */
type Pick = number;

export type Sent = {
  readonly delayMs: number;
  readonly priority: number;
  readonly customer: number;
  readonly key: string | null;
  readonly strict: boolean;
  /** In place of its key, what a run has: a value of each of its function's keys, and which of them is strict. */
  readonly values: readonly string[];
  readonly strictPlace: number;
  readonly maxAttempts: number | null;
  readonly clientId: string | null;
};

/** What may be left out stays as it was. */
export type Patch = {
  readonly delayMs?: number;
  readonly priority?: number;
  readonly customer?: number;
  readonly maxAttempts?: number;
  readonly keyed?: { readonly key: string | null; readonly strict: boolean };
};

export type Command =
  | { readonly do: "enqueue"; readonly queue: Pick; readonly sent: Sent; readonly replaces: boolean }
  | { readonly do: "batch"; readonly queue: Pick; readonly sent: readonly Sent[] }
  | { readonly do: "claim"; readonly node: Pick; readonly queue: Pick | "all"; readonly room: number }
  | {
      readonly do: "settle";
      readonly delivery: Pick;
      readonly ending: Ending;
      readonly lingers: boolean;
      readonly late: boolean;
    }
  | { readonly do: "cancel" | "approve" | "reject" | "retry" | "race"; readonly job: Pick }
  | { readonly do: "replay" | "heartbeat"; readonly job: Pick }
  | { readonly do: "patch"; readonly job: Pick; readonly patch: Patch }
  | { readonly do: "expire" | "rescue" | "deadline" | "keep" | "prune" }
  | { readonly do: "release"; readonly node: Pick }
  | { readonly do: "die"; readonly node: Pick }
  | { readonly do: "pause" | "open"; readonly queue: Pick }
  | { readonly do: "set"; readonly queue: Pick; readonly concurrency: number | null; readonly rate: Rate }
  | { readonly do: "limit"; readonly key: string; readonly limit: number }
  | { readonly do: "limits"; readonly queue: Pick; readonly limits: readonly [number, number] }
  | { readonly do: "fail"; readonly queue: Pick; readonly probe: boolean }
  | { readonly do: "reset"; readonly queue: Pick }
  | { readonly do: "jump"; readonly ms: number };

export type Rate = { readonly limit: number; readonly periodMs: number };

/** How a queue is made. */
export type Made = {
  readonly function: boolean;
  readonly limits: readonly [number, number];
  readonly strictLimit: number;
  readonly concurrency: number | null;
  readonly rate: "none" | "queue" | "key";
  readonly limit: Rate;
  readonly approval: boolean;
  readonly strict: boolean;
  readonly breaker: boolean;
};

export type History = { readonly queues: readonly Made[]; readonly commands: readonly Command[] };

export const KEYS = ["key-a", "key-b"] as const;
/** Values of functions' keys. */
export const VALUES = ["x", "y"] as const;

const pick = fc.nat(97);
const often = <T>(value: T, weight: number) => ({ arbitrary: fc.constant(value), weight });
const seldom = (weight = 4) => fc.nat(weight).map((n) => n === 0);

const key = fc.oneof(often(null, 3), often(KEYS[0], 4), often(KEYS[1], 2));
const delayMs = fc.oneof(often(0, 6), often(5_000, 1), often(20_000, 1));
const priority = fc.constantFrom(0, 0, 0, 30, -20);
const maxAttempts = fc.constantFrom(null, null, 1, 3);
const sent: fc.Arbitrary<Sent> = fc.record({
  delayMs,
  priority,
  customer: fc.nat(1),
  key,
  strict: fc.boolean(),
  values: fc.array(fc.constantFrom(VALUES[0], VALUES[0], VALUES[1]), { minLength: 1, maxLength: 2, size: "max" }),
  strictPlace: fc.nat(3),
  maxAttempts,
  clientId: fc.oneof(often(null, 3), often("one", 1), often("two", 1)),
});
const rate: fc.Arbitrary<Rate> = fc.record({
  limit: fc.integer({ min: 1, max: 3 }),
  periodMs: fc.constantFrom(10_000, 10_000, 20_000, 4_000),
});
const ownLimits = fc.tuple(fc.constantFrom(1, 2, 3, 3), fc.constantFrom(1, 1, 2));
const concurrency = fc.constantFrom(null, 1, 1, 2, 3);

const patch: fc.Arbitrary<Patch> = fc.record(
  {
    delayMs,
    priority,
    customer: fc.nat(1),
    maxAttempts: fc.constantFrom(1, 3),
    keyed: fc.record({ key, strict: fc.boolean() }),
  },
  { requiredKeys: [] },
);

/** Settles and claims are most of what happens; what seldom happens is there in most histories. */
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 16, arbitrary: fc.record({ do: fc.constant("enqueue"), queue: pick, sent, replaces: seldom(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("batch"),
      queue: pick,
      sent: fc.array(sent, { minLength: 2, maxLength: 4 }),
    }),
  },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constant("claim"),
      node: pick,
      queue: fc.oneof(often("all" as const, 3), { weight: 1, arbitrary: pick }),
      room: fc.constantFrom(1, 3, 20, 20),
    }),
  },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constant("settle"),
      delivery: pick,
      ending: fc.constantFrom<Ending>("done", "retry", "retry", "final", "accepted", "released"),
      lingers: fc.boolean(),
      late: seldom(),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom("cancel", "approve", "approve", "reject", "retry", "retry", "race"),
      job: pick,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("replay", "heartbeat"), job: pick }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("patch"), job: pick, patch }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constantFrom("expire", "rescue", "deadline", "keep", "keep", "keep") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("prune") }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("die", "release"), node: pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("pause", "open", "open"), queue: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("set"), queue: pick, concurrency, rate }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("limit"), key: fc.constantFrom(...KEYS), limit: fc.constantFrom(1, 2, 3) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("limits"), queue: pick, limits: ownLimits }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("fail"), queue: pick, probe: seldom() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reset"), queue: pick }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("jump"),
      ms: fc.constantFrom(500, 1_000, 6_000, 11_000, 11_000, 36_000, 130_000, 90_000_000),
    }),
  },
) as fc.Arbitrary<Command>;

const made: fc.Arbitrary<Made> = fc.record({
  function: seldom(1),
  limits: ownLimits,
  strictLimit: fc.constantFrom(1, 1, 2),
  concurrency,
  rate: fc.constantFrom("none", "none", "queue", "key"),
  limit: rate,
  approval: seldom(),
  strict: seldom(2),
  breaker: seldom(2),
});

export const histories: fc.Arbitrary<History> = fc.record({
  queues: fc.array(made, { minLength: 2, maxLength: 3 }),
  commands: fc.array(command, { minLength: 18, maxLength: 40, size: "max" }),
});
