import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newSecret, signRotor, signRotorWebhook, verifyRotorSignature, verifyRotorWebhook } from "./signature.js";

// The seed stands in the tests' names; `ROTOR_SEED=…` tries the same again.
const seed = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** Numbers from 0 up to `below`, the same ones for a seed: mulberry32. */
function randomFrom(start: number): (below: number) => number {
  let state = start | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
const random = randomFrom(seed);
const oneOf = <T>(list: readonly T[]): T => list[random(list.length)]!;

const NOW = 1_790_000_000;
const at = { now: NOW };
const BODY = '{"contactId":"c1","name":"Zoë"}';
const CHARACTERS = [..."0123456789abcdefABCDEF=,tv1 .+-/;_\t\r\n\0éｔ１٣"];

beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

type Change = (text: string) => string;

const cut = (text: string, from: number, length: number, insert = "") =>
  text.slice(0, from) + insert + text.slice(from + length);

/** Changes that know nothing of the format. */
const ANYWHERE: readonly Change[] = [
  (text) => cut(text, random(text.length), 1, oneOf(CHARACTERS)),
  (text) => cut(text, random(text.length + 1), 0, oneOf(CHARACTERS)),
  (text) => cut(text, random(text.length), 1 + random(4)),
  (text) => text.slice(0, random(text.length)),
  (text) => text.slice(1 + random(text.length)),
  (text) => {
    const [a, b] = [random(text.length), random(text.length)];
    return cut(cut(text, a, 1, text[b]), b, 1, text[a]);
  },
  (text) => text + oneOf([" ", ",", "\n", "\0", ";", "=", text, `,${text}`, `, ${text}`]),
  (text) => oneOf([" ", ",", "\n", "\uFEFF"]) + text,
  (text) => text.toUpperCase(),
  (text) => encodeURIComponent(text),
  (text) => [...text].reverse().join(""),
];

const hex = (length: number) => Array.from({ length }, () => oneOf([..."0123456789abcdef"])).join("");

/** Changes that somebody makes who knows it. */
const OF_ROTOR: readonly Change[] = [
  (text) => text.replace(/t=\d+/, `t=${NOW + random(601) - 300}`),
  (text) => text.replace(/t=\d+/, `t=${oneOf(["", "-", "+", "0x", "1e"])}${random(2 ** 31)}`),
  (text) => text.replace(/v1=.*/, `v1=${hex(64)}`),
  (text) => text.replace(/v1=.*/, `v1=${hex(random(200))}`),
  (text) => text.replace("v1=", oneOf(["v0=", "v2=", "v1:", "V1=", "=", "v1==", "v1=0x"])),
  // Shorter than the real one, and its beginning: a compare that stops at the shorter of two takes it.
  (text) => text.slice(0, "t=1790000000,v1=".length + random(64)),
  (text) => text.split(",").reverse().join(","),
  (text) => text.replace(",", oneOf([", ", ";", ",,", "&", " "])),
  () => signRotor(`${BODY} `, SECRET, NOW),
  () => signRotor(BODY, OTHER, NOW),
  () => signRotor(BODY, SECRET, NOW - 301 - random(1e6)),
  () => signRotor(BODY, SECRET, NOW + 301 + random(1e6)),
];

const SECRET = newSecret();
const OTHER = newSecret();

/** What still says the same: the good signature at its time, among others perhaps. */
function isStillSigned(header: string, good: string): boolean {
  const [t, signature] = good.split(",") as [string, string];
  return new RegExp(`^${t}(,v1=[0-9a-f]{64}){1,10}$`).test(header) && header.split(",").includes(signature);
}

test(`of 200,000 changed headers none verifies and none throws (seed ${seed})`, () => {
  const good = signRotor(BODY, SECRET, NOW);
  expect(verifyRotorSignature(BODY, good, [OTHER, SECRET], at)).toBe(true);
  const changes = [...ANYWHERE, ...OF_ROTOR];
  const accepted: string[] = [];
  let tried = 0;
  while (tried < 200_000) {
    let header = good;
    for (let i = random(3); i >= 0; i--) header = oneOf(changes)(header) || "t=";
    if (isStillSigned(header, good)) continue;
    tried += 1;
    if (verifyRotorSignature(BODY, header, SECRET, at)) accepted.push(header);
  }
  expect(accepted).toEqual([]);
});

test(`of 50,000 changed bodies none verifies (seed ${seed})`, () => {
  const good = signRotor(BODY, SECRET, NOW);
  const accepted: string[] = [];
  for (let tried = 0; tried < 50_000; tried++) {
    const body = oneOf(ANYWHERE)(BODY);
    if (body !== BODY && verifyRotorSignature(body, good, SECRET, at)) accepted.push(body);
  }
  expect(accepted).toEqual([]);
});

/** A lifecycle webhook, and a delivery of a queue with `standard_webhooks`. */
const WEBHOOKS = [
  { prefix: "rotor-webhook", signature: signRotorWebhook("msg_1", BODY, SECRET, NOW) },
  { prefix: "webhook", signature: new Webhook(SECRET).sign("msg_1", new Date(NOW * 1000), BODY) },
].map(({ prefix, signature }) => ({
  [`${prefix}-id`]: "msg_1",
  [`${prefix}-timestamp`]: String(NOW),
  [`${prefix}-signature`]: signature,
}));

test(`of 100,000 changed webhooks none verifies and none throws (seed ${seed})`, () => {
  for (const good of WEBHOOKS) expect(verifyRotorWebhook(BODY, good, SECRET, at)).toBe(true);
  const accepted: unknown[] = [];
  let tried = 0;
  while (tried < 100_000) {
    const good = oneOf(WEBHOOKS);
    const name = oneOf(Object.keys(good));
    const changed = oneOf(ANYWHERE)(good[name]!);
    if (changed === good[name]) continue;
    tried += 1;
    const headers = { ...good, [name]: changed };
    if (verifyRotorWebhook(BODY, headers, SECRET, at)) accepted.push(headers);
  }
  expect(accepted).toEqual([]);
});

test(`over 1,000 deliveries during a rotation none is rejected, whenever each side changes over (seed ${seed})`, () => {
  for (let delivery = 0; delivery < 1_000; delivery++) {
    // The server signs with both while they overlap; the endpoint knows the old one, both, or the new one.
    const known = oneOf([SECRET, OTHER, [SECRET, OTHER], [OTHER, SECRET], [undefined, OTHER], ["", SECRET]]);
    const body = `{"n":${delivery}}`;
    expect(verifyRotorSignature(body, signRotor(body, [OTHER, SECRET], NOW), known, at)).toBe(true);
    const headers = {
      "Rotor-Webhook-Id": `msg_${delivery}`,
      "Rotor-Webhook-Timestamp": String(NOW),
      "Rotor-Webhook-Signature": signRotorWebhook(`msg_${delivery}`, body, [OTHER, SECRET], NOW),
    };
    expect(verifyRotorWebhook(body, headers, known, at)).toBe(true);
    // Before and after, it signs with one; an endpoint with both takes either.
    const alone = oneOf([SECRET, OTHER]);
    expect(verifyRotorSignature(body, signRotor(body, alone, NOW), [OTHER, SECRET], at)).toBe(true);
  }
});
