// What all parts of a fault run share: dice from a seed, and logs that are only appended to. Imports nothing of Rotor.
import { closeSync, openSync, readSync, writeSync } from "node:fs";

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

/** All lines of a log. In pieces: that of a long run is longer than a string may be. */
export function readLog(path) {
  const file = openSync(path, "r");
  const piece = Buffer.alloc(1 << 20);
  const lines = [];
  let rest = Buffer.alloc(0);
  for (let n = readSync(file, piece); n > 0; n = readSync(file, piece)) {
    const bytes = Buffer.concat([rest, piece.subarray(0, n)]);
    const whole = bytes.lastIndexOf(10) + 1;
    for (const line of bytes.toString("utf8", 0, whole).split("\n")) if (line !== "") lines.push(JSON.parse(line));
    rest = bytes.subarray(whole);
  }
  closeSync(file);
  if (rest.length > 0) lines.push(JSON.parse(rest.toString("utf8")));
  return lines;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
