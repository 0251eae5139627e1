import { readFileSync } from "node:fs";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  newSecret,
  signAnswer,
  signRotor,
  signRotorWebhook,
  verifyAnswer,
  verifyRotorSignature,
  verifyRotorWebhook,
} from "./signature.js";

type Request = { name: string; body?: string; body_base64?: string; secrets: string[]; t: number; header: string };
type Fixtures = {
  requests: Request[];
  answers: { name: string; json: string; context: string; secrets: string[]; t: number; text: string }[];
  bad_headers: { name: string; header: string }[];
};
const fixtures = JSON.parse(readFileSync(new URL("../fixtures/signatures.json", import.meta.url), "utf8")) as Fixtures;
const first = fixtures.requests[0]!;
const secret = first.secrets[0]!;
const body = first.body!;
const at = { now: first.t };
const bodyOf = (request: Request) => request.body ?? Buffer.from(request.body_base64!, "base64");

beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** As in a process that has warned of nothing yet. */
function freshModule(): Promise<typeof import("./signature.js")> {
  vi.resetModules();
  return import("./signature.js");
}

describe("a request's signature", () => {
  test.each(fixtures.requests)("of the fixtures is made and verified: $name", (request) => {
    expect(signRotor(bodyOf(request), request.secrets, request.t)).toBe(request.header);
    for (const one of request.secrets) {
      expect(verifyRotorSignature(bodyOf(request), request.header, one, { now: request.t })).toBe(true);
    }
  });

  test.each(fixtures.bad_headers)("of the fixtures is refused: $name", ({ header }) => {
    expect(verifyRotorSignature(body, header, secret, at)).toBe(false);
    expect(verifyRotorSignature(body, header, ["", secret], at)).toBe(false);
  });

  test("verifies over text, bytes, a buffer, a piece of a buffer and an ArrayBuffer", () => {
    const bytes = new TextEncoder().encode(body);
    const padded = Buffer.from(`xx${body}yy`).subarray(2, 2 + bytes.length);
    for (const form of [body, bytes, Buffer.from(body), padded, bytes.buffer]) {
      expect(verifyRotorSignature(form, first.header, secret, at)).toBe(true);
    }
  });

  test("is good for 300 seconds either way and not for one more", () => {
    const accepted = (seconds: number) => verifyRotorSignature(body, first.header, secret, { now: first.t + seconds });
    expect([-301, -300, 0, 300, 301].map(accepted)).toEqual([false, true, true, true, false]);
  });

  test("takes the present time as seconds, milliseconds or a Date, and nothing else", () => {
    const accepted = (now: unknown) => verifyRotorSignature(body, first.header, secret, { now: now as number });
    expect([first.t, first.t * 1000 + 999, new Date(first.t * 1000)].map(accepted)).toEqual([true, true, true]);
    expect([Number.NaN, 0, -1, new Date("x"), "soon", {}].map(accepted)).toEqual(Array(6).fill(false));
  });

  test("keeps to the tolerance that it is given", () => {
    const accepted = (toleranceSeconds: number) =>
      verifyRotorSignature(body, first.header, secret, { now: first.t + 10, toleranceSeconds });
    expect([9, 10, Number.NaN, -1].map(accepted)).toEqual([false, true, false, false]);
  });

  test("uses the clock when no time is given", () => {
    const header = signRotor(body, secret, Math.floor(Date.now() / 1000));
    expect(verifyRotorSignature(body, header, secret)).toBe(true);
    expect(verifyRotorSignature(body, signRotor(body, secret, 1_000_000_000), secret)).toBe(false);
  });

  test("verifies when any of several secrets fits, as during a rotation", () => {
    expect(verifyRotorSignature(body, first.header, [newSecret(), undefined, secret], at)).toBe(true);
    expect(verifyRotorSignature(body, signRotor(body, [newSecret(), secret], first.t), secret, at)).toBe(true);
    expect(verifyRotorSignature(body, first.header, [newSecret(), newSecret()], at)).toBe(false);
  });

  test("is taken from a header list of one, and from no other list", () => {
    expect(verifyRotorSignature(body, [first.header], secret, at)).toBe(true);
    for (const header of [[], [first.header, first.header], undefined, null]) {
      expect(verifyRotorSignature(body, header, secret, at)).toBe(false);
    }
  });

  test("never verifies without a secret, and says so once", async () => {
    const { verifyRotorSignature } = await freshModule();
    const signedWithNothing = fixtures.bad_headers.find(({ name }) => name.includes("empty secret"))!.header;
    for (const missing of [undefined, "", "  ", [], [undefined, ""], null, 0, {}]) {
      for (const header of [first.header, signedWithNothing]) {
        expect(verifyRotorSignature(body, header, missing as undefined, at)).toBe(false);
      }
    }
    expect(vi.mocked(console.warn).mock.calls).toEqual([[expect.stringContaining("no signing secret is set")]]);
  });

  test("never verifies a parsed body, and names the frameworks' raw body once", async () => {
    const { verifyRotorSignature } = await freshModule();
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    for (const parsed of [{ contactId: "c1" }, [1], null, undefined, 5, true, revoked.proxy]) {
      expect(verifyRotorSignature(parsed as unknown as string, first.header, secret, at)).toBe(false);
    }
    expect(vi.mocked(console.warn).mock.calls).toEqual([
      [expect.stringMatching(/raw body.*Hono: .*Express: express\.text.*Fastify: .*Koa: .*Next\.js: /)],
    ]);
  });

  test("never throws and never verifies, whatever it is given", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), fc.anything(), fc.anything(), (a, b, c, d) => {
        return verifyRotorSignature(a as string, b as string, c as string, (d ?? undefined) as object) === false;
      }),
      { numRuns: 5_000 },
    );
  });

  test("is not made without a secret or for a time that is not seconds", () => {
    expect(() => signRotor(body, [], first.t)).toThrow(/1 to 10 secrets/);
    expect(() => signRotor(body, ["", secret], first.t)).toThrow(/none of them empty/);
    expect(() => signRotor(body, secret, first.t * 1000)).toThrow(/ten digits/);
    expect(() => signRotor(body, secret, first.t + 0.5)).toThrow(/whole Unix seconds/);
  });
});

describe("an answer's signature", () => {
  test.each(fixtures.answers)("of the fixtures is verified: $name", ({ text, json, context, secrets, t }) => {
    for (const one of secrets) {
      expect(verifyAnswer(text, context, one, { now: t })).toEqual({ json });
      expect(verifyAnswer(new TextEncoder().encode(text), context, [one], { now: t })).toEqual({ json });
    }
    expect(signAnswer(json, context, secrets, t)).toBe(text.trimStart());
  });

  test("is good for its own question, secret and time only", () => {
    const { text, context, secrets, t } = fixtures.answers[0]!;
    expect(verifyAnswer(text, context.replace(/2$/, "3"), secrets, { now: t })).toBeUndefined();
    expect(verifyAnswer(text, context, newSecret(), { now: t })).toBeUndefined();
    expect(verifyAnswer(text, context, undefined, { now: t })).toBeUndefined();
    expect(verifyAnswer(text, context, secrets, { now: t + 301 })).toBeUndefined();
    expect(verifyAnswer(text.replace("null", "true"), context, secrets, { now: t })).toBeUndefined();
    expect(verifyAnswer(`${text} `, context, secrets, { now: t })).toBeUndefined();
  });

  test("is not found where the body is something else", () => {
    const { text, context, secrets, t } = fixtures.answers[0]!;
    const others = [
      "",
      "\n",
      "{}",
      "rotor-signature ",
      "rotor-signature\n{}",
      `x${text}`,
      `\r${text}`,
      text.slice(0, 60),
      text.replace("\n", " "),
    ];
    for (const other of others) expect(verifyAnswer(other, context, secrets, { now: t })).toBeUndefined();
    expect(verifyAnswer(null as unknown as string, context, secrets, { now: t })).toBeUndefined();
  });

  test("does not verify a request's signature put before a body, nor bytes that are no UTF-8", () => {
    const context = "answer.run.1";
    const played = `rotor-signature ${signRotor("{}", secret, first.t)}\n{}`;
    expect(verifyAnswer(played, context, secret, at)).toBeUndefined();
    const bytes = Buffer.concat([Buffer.from(`${first.t}.${context}.`), Buffer.from([0xff])]);
    const header = signRotor(bytes.subarray(11), secret, first.t);
    const answer = Buffer.concat([Buffer.from(`rotor-signature ${header}\n`), Buffer.from([0xff])]);
    expect(verifyAnswer(answer, context, secret, at)).toBeUndefined();
  });
});

describe("a webhook's signature", () => {
  const id = "msg_1";
  const sentAt = new Date(first.t * 1000);
  const rotorHeaders = (signature: string) => ({
    "Rotor-Webhook-Id": id,
    "Rotor-Webhook-Timestamp": String(first.t),
    "Rotor-Webhook-Signature": signature,
  });

  test("as the standardwebhooks package makes it for a job is verified", () => {
    const key = newSecret();
    const headers = {
      "webhook-id": id,
      "webhook-timestamp": String(first.t),
      "webhook-signature": new Webhook(key).sign(id, sentAt, body),
    };
    expect(verifyRotorWebhook(body, headers, key, at)).toBe(true);
    expect(verifyRotorWebhook(body, new Headers(headers), [newSecret(), key], at)).toBe(true);
    expect(verifyRotorWebhook(`${body} `, headers, key, at)).toBe(false);
    expect(verifyRotorWebhook(body, { ...headers, "webhook-id": "msg_2" }, key, at)).toBe(false);
    expect(verifyRotorWebhook(body, headers, newSecret(), at)).toBe(false);
    expect(verifyRotorWebhook(body, headers, key, { now: first.t + 301 })).toBe(false);
  });

  test("of a lifecycle event is the one that the standardwebhooks package makes with the whole secret as key", () => {
    const signature = signRotorWebhook(id, body, secret, first.t);
    expect(signature).toBe(new Webhook(secret, { format: "raw" }).sign(id, sentAt, body));
    expect(verifyRotorWebhook(body, rotorHeaders(signature), secret, at)).toBe(true);
    expect(verifyRotorWebhook(Buffer.from(body), new Headers(rotorHeaders(signature)), secret, at)).toBe(true);
  });

  test("is one of several while a secret is rotated", () => {
    const signature = signRotorWebhook(id, body, [newSecret(), secret], first.t);
    expect(verifyRotorWebhook(body, rotorHeaders(signature), secret, at)).toBe(true);
    expect(verifyRotorWebhook(body, rotorHeaders(signature), newSecret(), at)).toBe(false);
    const alone = rotorHeaders(signRotorWebhook(id, body, secret, first.t));
    expect(verifyRotorWebhook(body, alone, [undefined, newSecret(), secret], at)).toBe(true);
    expect(verifyRotorWebhook(body, alone, [newSecret(), undefined], at)).toBe(false);
  });

  test("is good for 300 seconds either way and not for one more", () => {
    const headers = rotorHeaders(signRotorWebhook(id, body, secret, first.t));
    const accepted = (seconds: number) => verifyRotorWebhook(body, headers, secret, { now: first.t + seconds });
    expect([-301, -300, 0, 300, 301].map(accepted)).toEqual([false, true, true, true, false]);
  });

  test("is refused with missing headers, odd ids, no secret or a parsed body", () => {
    const signature = signRotorWebhook(id, body, secret, first.t);
    const good = rotorHeaders(signature);
    for (const name of Object.keys(good)) {
      expect(verifyRotorWebhook(body, { ...good, [name]: undefined }, secret, at)).toBe(false);
      expect(verifyRotorWebhook(body, { ...good, [name]: "x" }, secret, at)).toBe(false);
    }
    const dotted = signRotorWebhook("a.b", body, secret, first.t);
    expect(verifyRotorWebhook(body, { ...rotorHeaders(dotted), "Rotor-Webhook-Id": "a.b" }, secret, at)).toBe(false);
    expect(verifyRotorWebhook(body, good, undefined, at)).toBe(false);
    expect(verifyRotorWebhook({} as string, good, secret, at)).toBe(false);
    expect(verifyRotorWebhook(body, null as unknown as Headers, secret, at)).toBe(false);
  });
});

test("a new secret is whsec_ and the base64 of 32 bytes, and never the same", () => {
  const secrets = Array.from({ length: 100 }, newSecret);
  expect(new Set(secrets).size).toBe(100);
  for (const one of secrets) {
    expect(one).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(Buffer.from(one.slice(6), "base64")).toHaveLength(32);
  }
});
