/** Responses of a serving app as other people's servers treat them. */
import { afterEach, expect, test, vi } from "vitest";
import { ANSWER_TIMING, answerInTime, responseOf, signed } from "./answer.js";

afterEach(() => vi.unstubAllGlobals());

/** As Hono's Node server makes it before version 2: the headers that it is given are its own to write to. */
class ResponseThatWrites {
  readonly headers: Record<string, unknown>;
  constructor(body: unknown, { headers }: { readonly headers: Record<string, unknown> }) {
    this.headers = headers;
    if (typeof body === "string") headers["Content-Length"] ??= body.length;
  }
}

test("what a server writes into one response's headers is not in the next one's", async () => {
  vi.stubGlobal("Response", ResponseThatWrites);
  const lengths = ["long answer", "answer"].map((text) => responseOf(signed(text)).headers as unknown as object);
  const later = responseOf(await answerInTime(Promise.resolve("an answer in time"), true, ANSWER_TIMING));
  expect([...lengths, later.headers]).toMatchObject([
    { "Content-Length": 11 },
    { "Content-Length": 6 },
    { "Content-Length": 17 },
  ]);
});
