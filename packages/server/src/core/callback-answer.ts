/** What an endpoint's HTTP answer means for a callback job: the table of `docs/retries-and-dead-letters.md`. */
import { headers as names } from "@rotorsh/sdk/protocol";
import type { End } from "./job.js";
import { limits } from "./limits.js";
import { parseRetryAfter } from "./retry-after.js";

export type HttpAnswer = {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** There was more, which is dropped. */
  readonly truncated?: boolean;
};

export function readCallbackAnswer(answer: HttpAnswer, nowMs: number): End {
  const { status, headers } = answer;
  if (status === 202 && headers[names.async]?.toLowerCase() === "true") return { kind: "accepted" };
  const text = storable(answer.body);
  if (status >= 200 && status < 300) {
    // A single-page host answers any path with its page: it "works", and nothing ran.
    const html = headers["content-type"]?.toLowerCase().startsWith("text/html") === true;
    const notes = [
      ...(html ? ["answered with HTML: is this the right URL?"] : []),
      ...(answer.truncated ? [`the answer was cut after ${limits.callbackOutputBytes} bytes`] : []),
    ];
    return {
      kind: "done",
      output: text === "" ? null : text,
      ...(notes.length === 0 ? {} : { note: notes.join("; ") }),
    };
  }
  const where =
    status >= 300 && status < 400 && headers.location !== undefined
      ? ` to ${headers.location.slice(0, 200)}; redirects are not followed`
      : "";
  const said = text === "" ? "" : `: ${text.slice(0, 500)}`;
  return {
    kind: "failed",
    error: { name: "HttpError", message: `The endpoint answered ${status}${where}${said}`, code: String(status) },
    final: status === 410 || headers[names.noRetry]?.toLowerCase() === "true",
    retryAfterMs: parseRetryAfter(headers["retry-after"], nowMs),
  };
}

/** Text as Postgres can hold it: bytes that are no UTF-8, and NUL, become the replacement character. */
export const storable = (body: Uint8Array): string => new TextDecoder().decode(body).replaceAll("\u0000", "\ufffd");
