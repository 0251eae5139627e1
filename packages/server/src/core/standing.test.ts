import { expect, test } from "vitest";
import { limits } from "./limits.js";
import { problemsOf, type QueueStanding, type Standing } from "./standing.js";

const now = new Date("2026-11-28T12:00:00Z");
const ago = (ms: number): Date => new Date(now.getTime() - ms);

const queue = (given: Partial<QueueStanding> = {}): QueueStanding => ({
  name: "q",
  kind: "callback",
  hasUrl: true,
  pausedAt: null,
  openAt: null,
  due: 0,
  oldestDueAt: null,
  recentEnded: 0,
  recentFailed: 0,
  recentFailedAt: null,
  ...given,
});

const typesOf = (given: Partial<Standing>): string[] =>
  problemsOf({ now, held: false, environment: "production", nodes: 1, queues: [], troubles: [], ...given }).map(
    ({ type, severity }) => `${severity} ${type}`,
  );

test("nothing is wrong with a server that lives and queues that are worked off", () => {
  expect(
    typesOf({ queues: [queue(), queue({ due: 3, oldestDueAt: ago(1_000), recentEnded: 100, recentFailed: 10 })] }),
  ).toEqual([]);
});

const late = { due: 1, oldestDueAt: ago(limits.queueLateMs + 1) };

test.each<[string, Partial<QueueStanding>, string[]]>([
  ["whose oldest due job waits for more than five minutes", late, ["error queue.late"]],
  ["that is paused with work due", { ...late, pausedAt: ago(1) }, ["warning queue.paused"]],
  ["that is paused without any", { pausedAt: ago(1) }, []],
  ["without a URL, with work due", { ...late, hasUrl: false }, ["warning queue.no_url"]],
  ["without a URL and without work", { hasUrl: false }, []],
  ["whose breaker is open", { ...late, openAt: ago(-1) }, ["warning queue.breaker"]],
  ["of an app that is away, whose own line says so", { ...late, kind: "function", openAt: ago(-1) }, []],
  ["half of whose deliveries fail", { recentEnded: 10, recentFailed: 5 }, ["error queue.failing"]],
  ["with too few deliveries to tell", { recentEnded: 9, recentFailed: 9 }, []],
])("a queue %s", (_, given, types) => {
  expect(typesOf({ queues: [queue(given)] })).toEqual(types);
});

test("what stops everything comes first, and of one kind what began first", () => {
  const problems = problemsOf({
    now,
    held: false,
    environment: "production",
    nodes: 0,
    queues: [queue({ name: "later", ...late }), queue({ name: "sooner", due: 1, oldestDueAt: ago(86_400_000) })],
    troubles: [
      { type: "schedule.missed", subject: "s", since: ago(1) },
      { type: "app.unreachable", subject: "a", since: ago(1) },
    ],
  });
  expect(problems.map(({ type, subject }) => `${type} ${subject}`)).toEqual([
    "nodes.none null",
    "app.unreachable a",
    "queue.late sooner",
    "queue.late later",
    "schedule.missed s",
  ]);
});

test("a held server is one problem, and makes no queue late", () => {
  expect(typesOf({ held: true, nodes: 0, queues: [queue(late)] })).toEqual(["error held"]);
});
