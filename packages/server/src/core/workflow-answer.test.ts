import { describe, expect, test } from "vitest";
import { parseAnswer, parseCheckpoint } from "./workflow-answer.js";

const checkpoint = (report: unknown) => parseCheckpoint({ version: 1, runs: [{ token: "t", known_seq: 0, reports: [report] }] });
const wait = (match: unknown) => checkpoint({ kind: "event", key: "k", event: "e", match, timeout_ms: 1 });
const first = (parsed: ReturnType<typeof parseCheckpoint>) => (parsed.ok ? parsed.value.runs[0]?.reports[0] : parsed.message);

describe("a match", () => {
  test("keeps a path of any name", () => {
    const match = JSON.parse('{"__proto__":1,"constructor":"a","a.b":null}');
    const report = first(wait(match));
    expect(typeof report === "object" && "match" in report && JSON.stringify(report.match)).toBe(JSON.stringify(match));
  });

  test.each([[{ a: {} }], [{ a: [1] }], [{ "": 1 }], [[1]], [7], [null], [{ a: "x".repeat(1_001) }], [{ ["x".repeat(201)]: 1 }]])(
    "%j is none",
    (match) => {
      expect(wait(match).ok).toBe(false);
    },
  );

  test("may be left out, or be empty", () => {
    expect([wait(undefined).ok, wait({}).ok, wait("data.a == 1").ok]).toEqual([true, true, true]);
  });
});

describe("an output", () => {
  test.each(["null", "0", '""', '{"__proto__":1,"a":[{"b":null}]}', "[[]]"])("%s arrives as it is", (text) => {
    const report = first(checkpoint({ kind: "run", key: "k", attempt: 1, duration_ms: 1, outcome: "completed", output: JSON.parse(text) }));
    expect(typeof report === "object" && "output" in report && JSON.stringify(report.output)).toBe(text);
  });

  test("that is missing is a fault of the answer", () => {
    expect(checkpoint({ kind: "run", key: "k", attempt: 1, duration_ms: 1, outcome: "completed" }).ok).toBe(false);
    expect(parseAnswer('{"version":1,"hash":"h","status":"completed"}').ok).toBe(false);
    expect(parseAnswer('{"version":1,"hash":"h","status":"completed","output":null}').ok).toBe(true);
  });
});

test.each(["", "null", "[]", "{", '{"version":2,"hash":"h","status":"stale"}', '{"version":1,"hash":"h","status":"fine"}'])(
  "%j is no answer, and says why",
  (text) => {
    const parsed = parseAnswer(text);
    expect(parsed.ok).toBe(false);
    expect(!parsed.ok && parsed.message.length > 0).toBe(true);
  },
);
