// Why a step's code ran twice: which fault met the first time before its result was safe. Imports nothing of Rotor.

/** What had just run may be lost this long after a fault has ended: its answer was on its way. */
const SLACK_MS = 1_500;

/** Faults of a log with their begin and end; one that never ended lasts. */
export function windowsOf(log) {
  const ends = new Map(log.filter((line) => line.phase === "end").map((line) => [line.id, line.t]));
  return log
    .filter((line) => line.phase === "begin")
    .map(({ id, kind, t }) => ({ kind, begin: t, end: ends.get(id) ?? Number.POSITIVE_INFINITY }));
}

/** Gentle ones explain nothing: whoever is asked to stop stores what it has. */
const GENTLE = new Set(["restart", "restart app", "hiccup", "kill app"]);

/**
 * `kill app`, where its process was killed between the two executions; else the kind of a fault of a server or of a connection
 * in that time; else undefined.
 */
export function causeOf(first, second, killed, windows) {
  const killedAt = killed.get(first.pid);
  if (killedAt !== undefined && killedAt >= first.t && killedAt <= second.t) return "kill app";
  const met = windows.find(
    ({ kind, begin, end }) => !GENTLE.has(kind) && begin <= second.t && end + SLACK_MS >= first.t,
  );
  return met?.kind;
}
