/** The HTTP responses of a serving app: signed answers, at once or as a stream that shows life, and plain refusals. */

import type { PlainAnswer } from "./adapters/fetch.js";

export type AnswerTiming = {
  /** An answer that is ready by then is an ordinary response; a later one is a stream. */
  readonly plainWithinMs: number;
  /** Between two signs of life of a stream: well below the server's limit of 30 s of silence. */
  readonly lifeEveryMs: number;
};

export const ANSWER_TIMING: AnswerTiming = { plainWithinMs: 4_000, lifeEveryMs: 5_000 };

/** Made anew for each response: Hono's Node server before version 2 writes each one's `Content-Length` into the object it is given. */
const answerHeaders = () => ({
  "content-type": "text/plain; charset=utf-8",
  "cache-control": "no-store, no-transform",
});

/** A text that is signed already. */
export const signed = (text: PlainAnswer["text"]): PlainAnswer => ({ status: 200, headers: answerHeaders(), text });

/** `{ "error": { code, message } }`, unsigned: to the server, the function was not reached. */
export const refused = (status: number, code: string, message: string): PlainAnswer => ({
  status,
  headers: { "content-type": "application/json", "cache-control": "no-store" },
  text: JSON.stringify({ error: { code, message } }),
});

/** The same as a response of the web. */
export const responseOf = ({ status, headers, text }: PlainAnswer): Response =>
  new Response(typeof text === "string" ? text : streamOf(text.later, text.lifeEveryMs), { status, headers });

export const refusal = (status: number, code: string, message: string): Response =>
  responseOf(refused(status, code, message));

function streamOf(answer: Promise<string>, lifeEveryMs: number): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let timer: ReturnType<typeof setInterval> | undefined;
  let cancelled = false;
  return new ReadableStream({
    start(stream) {
      const life = () => stream.enqueue(encoder.encode(" "));
      life();
      timer = setInterval(life, lifeEveryMs);
      const end = (finish: () => void) => {
        clearInterval(timer);
        if (!cancelled) finish();
      };
      answer.then(
        (text) =>
          end(() => {
            stream.enqueue(encoder.encode(text));
            stream.close();
          }),
        (error) => end(() => stream.error(error)),
      );
    },
    cancel() {
      // Nobody listens any more; the delivery learns at its next checkpoint whether it is still wanted.
      cancelled = true;
      clearInterval(timer);
    },
  });
}

/** The answer to a delivery that is still being worked on. */
export async function answerInTime(
  answer: Promise<string>,
  streaming: boolean,
  { plainWithinMs, lifeEveryMs }: AnswerTiming,
): Promise<PlainAnswer> {
  if (!streaming) return signed(await answer);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), plainWithinMs);
  });
  const text = await Promise.race([answer, late]).finally(() => clearTimeout(timer));
  return signed(text ?? { later: answer, lifeEveryMs });
}
