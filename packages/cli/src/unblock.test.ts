import { execFileSync } from "node:child_process";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { explain, type WhyFacts, type WhyJob } from "../../server/src/core/why.js";
import { programOf } from "./main.js";
import { callContext } from "./testing-kit/context.js";

const at = new Date("2026-11-23T20:00:00Z");

const job: WhyJob = {
  id: "0199e0f0-0000-7000-8000-000000000001",
  kind: "callback",
  queue: "enrichment",
  state: "waiting",
  reason: "queued",
  until: at,
  attempt: 1,
  maxAttempts: 3,
  createdAt: at,
  finishedAt: null,
  deadlineAt: null,
};

const facts: WhyFacts = {
  now: at,
  dueAt: at,
  heldAt: at,
  concurrency: 1,
  active: 0,
  lingering: 0,
  pausedAt: at,
  failures: 5,
  openAt: at,
  rateOpenAt: at,
  rateLimit: 1,
  ratePeriodMs: 1_000,
  rateKey: null,
  app: "default",
  appUrl: "http://127.0.0.1:3000/api/rotor?a=1&b=2",
  unreachableSince: at,
  keyId: 1,
  keyName: "acme's key",
  functionKey: null,
  keyLimit: 1,
  lastOutcome: null,
  lastStatus: null,
  lastError: null,
  lastEndedAt: at,
  ahead: 0,
  nodes: 1,
  held: false,
  stepKey: "w",
  stepKind: "event",
  wait: { event: "email.opened", signal: "run/step one", job: "0199e0f0-0000-7000-8000-000000000002" },
  parts: [
    { name: "opened", wait: { event: "email.opened" } },
    { name: "stopped", wait: { signal: "run/step one" } },
  ],
  askedAt: at,
  holders: [{ id: "0199e0f0-0000-7000-8000-000000000003", queue: "enrichment", until: at }],
  events: [],
};

const REASONS = [
  ...["delayed", "queued", "retrying", "sleeping", "event", "signal", "child", "rate_limited", "key_blocked"],
  ...["paused", "breaker", "held", "unreachable", "no_url", "approval"],
];

const surroundings: readonly [string, Partial<WhyFacts>][] = [
  ["all at rest", {}],
  ["a full queue, and a rate for each value of a key", { active: 1, rateKey: "payload['a b']" }],
  ["no node", { nodes: 0 }],
  ["a held database", { held: true }],
  [
    "names that look like flags",
    { keyName: "--limit", wait: { event: "-x", signal: "--json" }, appUrl: null, holders: [] },
  ],
];

/** Every text that may be given, for jobs and runs, in whatever surroundings. */
const commands = new Set(
  surroundings.flatMap(([, around]) =>
    (["callback", "function"] as const).flatMap((kind) =>
      [
        ...REASONS.map((reason): Partial<WhyJob> => ({ reason })),
        ...["active", "completed", "failed", "cancelled"].map((state): Partial<WhyJob> => ({ state, reason: null })),
      ].flatMap((of) => explain({ ...job, kind, ...of }, { ...facts, ...around }).unblock),
    ),
  ),
);

/** What a person writes in the place of what only he knows. */
const filled = (text: string): string =>
  text
    .replace("<url>", "http://127.0.0.1:3000/")
    .replace("<limit>/<period>", "10/1s")
    .replace("<n>", "5")
    .replace("{…}", "{}");

/** The words of a command line, as a shell takes it apart. */
const wordsOf = (line: string): string[] =>
  execFileSync("sh", ["-c", `printf '%s\\0' ${line}`])
    .toString()
    .split("\0")
    .slice(0, -1);

/** Lets every command note its name and operands in place of doing something. */
function noting(command: Command, called: string[][]): void {
  for (const each of command.commands) noting(each, called);
  if (command.commands.length > 0) return;
  command.action(() => {
    const names: string[] = [];
    for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
    called.push([...names, ...command.args]);
  });
}

describe("what why tells people to call", () => {
  test("is something for every reason that a person can do something about", () => {
    expect(commands.size).toBeGreaterThan(20);
  });

  test.each([...commands])("%s: there is such a command, and it is called rightly", async (text) => {
    const called: string[][] = [];
    const err: string[] = [];
    const program = programOf({ ...callContext(), err: (line) => err.push(line) });
    noting(program, called);
    const words = wordsOf(filled(text));
    await program.parseAsync(words.slice(1), { from: "user" }).catch((error: Error) => err.push(error.message));
    expect(err).toEqual([]);
    expect(called).toHaveLength(1);
    expect(called[0]!.every((word) => words.includes(word))).toBe(true);
  });
});
