/**
 * Every parser of ours that reads what strangers wrote, and what must be true of it whatever that is. `fuzz.test.ts` gives
 * each of them its corpus, and texts that are made from it.
 */
import { formatDuration, parseDuration } from "@rotorsh/sdk/duration";
import { signAnswer, signRotor, verifyAnswer, verifyRotorSignature, verifyRotorWebhook } from "@rotorsh/sdk/signature";
import { checkCron, checkTimezone, nextTicks } from "../../core/cron.js";
import { csvCell } from "../../core/csv.js";
import { isId } from "../../core/ids.js";
import { elements, glance, members } from "../../core/json-text.js";
import { limits } from "../../core/limits.js";
import { compile, type MatchedEvent, matches } from "../../core/match.js";
import { checkKeyExpression } from "../../core/rate-key.js";
import { parseRetryAfter } from "../../core/retry-after.js";
import { sessionTokenOf } from "../../core/session.js";
import { readSignalLink } from "../../core/signal-link.js";
import { fill, malformedTemplate } from "../../core/templates.js";
import { readToken } from "../../core/token.js";
import { isTraceparent } from "../../core/trace.js";
import { parseAnswer, parseCheckpoint, parseManifest } from "../../core/workflow-answer.js";
import { addressClass, addressOctets, parseRange } from "../../delivery/address.js";
import { checkUrl, publicOnly } from "../../delivery/guard.js";
import { checkHeaders } from "../../delivery/headers.js";
import { parseJson } from "../../http/body.js";
import { Refusal } from "../../http/errors.js";
import { readInboxRow } from "../../http/inbox-row.js";
import { idCursor } from "../../http/paging.js";

/** What is wrong with what a parser made of a text, as a sentence; undefined where nothing is. It must not throw. */
export type Target = (text: string) => string | undefined;

const NOW = 1_790_000_000;
const SECRET = "whsec_c2VjcmV0IG9mIHRoZSBmdXp6ZXIsIDMyIGJ5dGVzIQ==";
const BODY = '{"contactId":"c1"}';
const GOOD = signRotor(BODY, SECRET, NOW);

/** Whether a header says the same as the good one: its time, and its signature among others. */
const isSigned = (header: string): boolean => {
  const [t, signature] = GOOD.split(",") as [string, string];
  return new RegExp(`^${t}(,v1=[0-9a-f]{64}){1,10}$`).test(header) && header.split(",").includes(signature);
};

const refusalIn = (act: () => unknown, statuses: readonly number[]): string | undefined => {
  try {
    act();
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!statuses.includes(error.status)) return `it is refused with ${error.status}`;
    return error.message.length > 1_000 ? "its refusal repeats too much of it" : undefined;
  }
};

const event = (data: unknown): MatchedEvent => ({ id: "e", name: "e", data, ts: NOW });
const EVENTS = [
  event(null),
  event({ a: 1, b: "x", c: [1, 2, 3], d: { e: true } }),
  event({ items: Array.from({ length: 2_000 }, (_, n) => ({ id: n, text: "x".repeat(20) })), a: "1" }),
];

/** An https URL that `checkUrl` took leads to nothing that is not public, by its own letters. */
const isOpen = (url: URL): boolean => {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return (addressOctets(host) !== undefined && addressClass(host) !== "public") || url.hostname.endsWith("localhost");
};

export const targets: Readonly<Record<string, Target>> = {
  signature(header) {
    if (verifyRotorSignature(BODY, header, SECRET, { now: NOW }) !== isSigned(header))
      return "a signature that is none";
    const names = { "webhook-id": "m", "webhook-timestamp": String(NOW), "webhook-signature": header };
    return verifyRotorWebhook(BODY, names, SECRET, { now: NOW }) ? "a webhook that nobody signed" : undefined;
  },
  "signed-answer"(text) {
    const made = signAnswer(BODY, "answer.r.1", SECRET, NOW);
    const found = verifyAnswer(text, "answer.r.1", SECRET, { now: NOW });
    return found !== undefined && text.replace(/^[ \n]+/, "") !== made ? "an answer that nobody signed" : undefined;
  },
  duration(text) {
    let ms: number;
    try {
      ms = parseDuration(text);
    } catch (error) {
      return (error as Error).name === "RotorInputError" ? undefined : `it throws ${(error as Error).name}`;
    }
    if (!Number.isSafeInteger(ms) || ms < 0 || ms > 31_536_000_000) return `it is ${ms} ms`;
    return parseDuration(formatDuration(ms)) === ms ? undefined : "it is another after it was formatted";
  },
  cron(text) {
    const wrong = checkCron(text);
    if (wrong !== undefined) return wrong.length > text.length * 6 + 500 ? "its refusal is too long" : undefined;
    for (const zone of ["UTC", "Europe/Stockholm", "Australia/Lord_Howe"]) {
      const ticks = nextTicks(text, zone, new Date(NOW * 1_000), 3).map((tick) => tick.getTime());
      if (ticks.some((at, n) => Number.isNaN(at) || at <= (ticks[n - 1] ?? NOW * 1_000))) return "its ticks go back";
    }
    return undefined;
  },
  timezone(text) {
    if (checkTimezone(text) !== undefined) return undefined;
    return nextTicks("0 9 * * *", text, new Date(NOW * 1_000), 2).length === 2 ? undefined : "it has no mornings";
  },
  match(text) {
    checkKeyExpression(text);
    const compiled = compile(text, event({ id: "t" }));
    if (!compiled.ok) return undefined;
    for (const each of EVENTS)
      if (typeof matches(compiled.match, each) !== "boolean") return "it is neither true nor false";
    return undefined;
  },
  cursor(text) {
    const wrong = refusalIn(() => {
      if (!isId(idCursor(text)!)) throw new Error("a cursor that is no id");
    }, [422]);
    return wrong;
  },
  answer(text) {
    for (const parse of [parseAnswer, parseManifest]) {
      const parsed = parse(text);
      if (!parsed.ok) {
        if (parsed.message.length > text.length + 500) return "its refusal is too long";
      } else if (JSON.stringify(parsed.value).length > text.length * 6 + 500) return "it grew";
    }
    try {
      parseCheckpoint(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    return undefined;
  },
  "retry-after"(text) {
    const ms = parseRetryAfter(text, NOW * 1_000);
    return ms === undefined || (ms >= 0 && ms <= limits.retryAfterMs) ? undefined : `it is ${ms} ms`;
  },
  "json-text"(text) {
    glance(text);
    const wrong = refusalIn(() => parseJson(Buffer.from(text)), [400, 422]);
    if (wrong !== undefined) return wrong;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return undefined;
    }
    const same = (start: number, end: number, wanted: unknown): boolean =>
      JSON.stringify(JSON.parse(text.slice(start, end))) === JSON.stringify(wanted);
    if (Array.isArray(value)) {
      const spans = elements(text);
      return spans.length === value.length &&
        spans.every(({ start, end }, n) => same(start, end, (value as unknown[])[n]))
        ? undefined
        : "its elements stand elsewhere";
    }
    const { spans, repeated } = members(text);
    if (repeated !== undefined || typeof value !== "object" || value === null) return undefined;
    const found = value as Record<string, unknown>;
    return [...spans].every(([name, { start, end }]) => Object.hasOwn(found, name) && same(start, end, found[name]))
      ? undefined
      : "its members stand elsewhere";
  },
  "inbox-row"(text) {
    let options: unknown = text;
    try {
      options = JSON.parse(text);
    } catch {
      // As it is.
    }
    for (const kind of ["job", "event", text]) {
      const item = readInboxRow({ kind, target: "q", id: text, payload: "1", options } as unknown as Parameters<
        typeof readInboxRow
      >[0]);
      if (item.kind === "bad" && item.reason.length > 1_000) return "its refusal is too long";
    }
    return undefined;
  },
  url(text) {
    const check = checkUrl(text, publicOnly);
    if (!check.ok) return check.reason.length > limits.urlLength + 500 ? "its refusal is too long" : undefined;
    const { protocol, username, password } = check.url;
    if (protocol !== "https:" || username !== "" || password !== "") return "it is no plain https";
    return isOpen(check.url) ? `it leads to ${check.url.hostname}` : undefined;
  },
  address(text) {
    const octets = addressOctets(text);
    addressClass(text);
    const range = parseRange(text);
    if (octets?.some((octet) => octet < 0 || octet > 255)) return "an octet that is none";
    return range !== undefined && range.bits > range.octets.length * 8 ? "more bits than there are" : undefined;
  },
  header(text) {
    const check = checkHeaders({ [text]: text.slice(0, 100), "x-a": text });
    if (!check.ok) return undefined;
    for (const [name, value] of Object.entries(check.headers))
      if (/[\r\n\0]/.test(name + value)) return "a header that ends another";
    return undefined;
  },
  template(text) {
    malformedTemplate(text);
    const filled = fill({ url: text, headers: { a: text } }, new Map([["A", "value-of-a"]]));
    return filled.ok && filled.url !== filled.headers.a ? "it is two texts" : undefined;
  },
  capability(text) {
    if (readToken(SECRET, "checkpoint", text) !== undefined) return "a capability that nobody gave";
    if (readSignalLink(SECRET, text) !== undefined) return "a link that nobody made";
    const session = sessionTokenOf(text);
    return session === undefined || /^[A-Za-z0-9_-]{43}$/.test(session) ? undefined : "a session that is none";
  },
  traceparent: (text) =>
    isTraceparent(text) && !/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}/.test(text)
      ? "a trace that is none"
      : undefined,
  csv(text) {
    const cell = csvCell(text);
    if (!/^".*"$/su.test(cell) || cell.slice(1, -1).replaceAll('""', "").includes('"'))
      return "a cell that ends within";
    return /^"\s*[=+\-@]/.test(cell) ? "a formula" : undefined;
  },
};
