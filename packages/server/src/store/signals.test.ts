/** Signals that come before their wait, and links to signals. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { activeRun, checkpointOne, clearJobs, functionQueue, readSteps, WORKSPACE } from "../testing-kit/fixtures.js";
import { sweep } from "../testing-kit/pruning.js";
import { completeByLink, readClockMs, stateOfLink } from "./signal-links.js";
import { completeSignal } from "./signals.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

const complete = (data: string, bufferForMs?: number, signal = "go") =>
  completeSignal(database.db, WORKSPACE, signal, data, bufferForMs);
async function waits(key = "w", signal = "go") {
  const run = await activeRun(database.db, runs);
  await checkpointOne(database.db, run, [{ kind: "signal", key, signal, timeout_ms: 60_000 }]);
  return (await readSteps(database.db, run.jobId))[key];
}

describe("a signal that nobody waits for yet", () => {
  test("is kept where its sender asks for it, for the one wait that comes next", async () => {
    expect(await complete("1")).toEqual({ kind: "nobody" });
    expect(await complete('{"n":2}', 60_000)).toMatchObject({ kind: "buffered", until: expect.any(Date) });
    expect(await complete("3", 60_000)).toEqual({ kind: "kept already" });
    expect(await waits()).toMatchObject({ state: "completed", output: { n: 2 } });
    expect((await waits())?.state).toBe("waiting");
    expect(await complete("4", 60_000)).toMatchObject({ kind: "resumed" });
    expect(await complete("5", 60_000)).toMatchObject({ kind: "buffered" });
  });

  test("is kept for its own workspace alone", async () => {
    await functionQueue(database.db, "theirs", { workspace: "other" });
    await completeSignal(database.db, "other", "go", "1", 60_000);
    expect((await waits())?.state).toBe("waiting");
  });

  test("is forgotten when its time is over: by waits at once, from the table by the pruner", async () => {
    await complete("1", 60_000);
    try {
      await database.shiftClock(61_000);
      expect((await waits())?.state).toBe("waiting");
      await complete("2", 60_000, "other");
      await database.shiftClock(130_000);
      await sweep(database.db);
      const { rows } = await database.db.script("select signal from rotor.early_signals");
      expect(rows).toEqual([]);
    } finally {
      await database.shiftClock(0);
    }
  });
});

describe("a link to a signal", () => {
  const linkOf = async (livesMs = 60_000, signal = "go") => {
    const madeAtMs = await readClockMs(database.db);
    return { workspace: WORKSPACE, signal, data: '"yes"', madeAtMs, expiresAtMs: madeAtMs + livesMs };
  };

  test("completes it once, and so does another that was made before", async () => {
    const [link, twin] = [await linkOf(), await linkOf()];
    const run = await activeRun(database.db, runs);
    await checkpointOne(database.db, run, [{ kind: "signal", key: "w", signal: "go", timeout_ms: 60_000 }]);
    expect(await stateOfLink(database.db, link)).toBe("open");
    expect(await completeByLink(database.db, link)).toEqual({ kind: "resumed", runId: run.jobId });
    expect((await readSteps(database.db, run.jobId)).w?.output).toBe("yes");
    expect(await completeByLink(database.db, link)).toBe("used");
    expect(await completeByLink(database.db, twin)).toBe("used");
    expect(await stateOfLink(database.db, twin)).toBe("used");
    // Of a signal that is used again, later.
    expect(await completeByLink(database.db, await linkOf())).toMatchObject({ kind: "buffered" });
  });

  test("may be followed before the run waits", async () => {
    const link = await linkOf();
    expect(await completeByLink(database.db, link)).toMatchObject({ kind: "buffered" });
    expect(await completeByLink(database.db, link)).toBe("used");
    expect((await waits())?.output).toBe("yes");
  });

  test("does nothing once it has expired, or its workspace is gone", async () => {
    const link = await linkOf(1_000);
    expect(await completeByLink(database.db, { ...link, workspace: "gone" })).toBe("expired");
    try {
      await database.shiftClock(1_100);
      expect(await stateOfLink(database.db, link)).toBe("expired");
      expect(await completeByLink(database.db, link)).toBe("expired");
    } finally {
      await database.shiftClock(0);
    }
  });
});
