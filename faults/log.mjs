// What all parts of a fault run share: dice from a seed, and logs that are only appended to. Imports nothing of Rotor.
import { openSync, readFileSync, writeSync } from "node:fs";

/** The same numbers in [0, 1) for the same seed and name (mulberry32 over a hash of both). */
export function diceOf(seed, name) {
  let state = 0x811c9dc5;
  for (const char of `${seed}/${name}`) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
  const roll = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    roll,
    between: (min, max) => Math.floor(min + roll() * (max - min + 1)),
    pick: (list) => list[Math.floor(roll() * list.length)],
  };
}

/** A function that appends one line, written before it returns: who dies after it has said what it was about to do. */
export function appender(path) {
  const file = openSync(path, "a");
  return (entry) => writeSync(file, `${JSON.stringify({ t: Date.now(), ...entry })}\n`);
}

export const readLog = (path) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
