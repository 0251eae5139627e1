/** One connection that answers server-sent events, read to its end. What is done when it ends is in `feed.ts`. */

import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { RotorApiError } from "@rotorsh/sdk";

export type StreamOptions = {
  readonly url: string;
  readonly apiKey?: string;
  /** Ends the stream; it then returns as if the server had ended it. */
  readonly signal: AbortSignal;
  /** The server answers, and what happens from now on will be told. */
  readonly onOpen?: () => void;
};

/** The server sends a sign of life every 15 s: after this long without one the connection is gone. */
const SILENCE_MS = 60_000;
/** Nothing in the feed is as long; who sends more is no Rotor. */
const MAX_LINE = 4 * 1024 * 1024;

function open({ url, apiKey, signal }: StreamOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (url.startsWith("https:") ? requestHttps : requestHttp)(url, {
      headers: { accept: "text/event-stream", ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
      // A connection of its own: it lives as long as somebody watches.
      agent: false,
      signal,
    });
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error("the server fell silent")));
    request.once("response", resolve);
    request.once("error", reject);
    request.end();
  });
}

async function refusal(response: IncomingMessage): Promise<RotorApiError> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text = `${text}${chunk}`.slice(0, 10_000);
  const status = response.statusCode ?? 0;
  let message = `the stream was answered with ${status}`;
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown } };
    if (typeof error?.message === "string") message = error.message;
  } catch {
    // Something before the server answered: the status is all that can be said.
  }
  return new RotorApiError(message, { status, code: `http_${status}` });
}

/** Lines of a body, without their ends. */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of response.setEncoding("utf8")) {
    const lines = `${rest}${chunk}`.split(/\r\n|\n|\r/);
    rest = lines.pop()!;
    yield* lines;
    if (rest.length > MAX_LINE) throw new Error("the stream has a line without end");
  }
}

/**
 * The data of each event, in order; returns when the server or the signal ends the stream.
 * @throws RotorApiError when the server refuses; the connection's own error when it breaks.
 */
export async function* readStream(options: StreamOptions): AsyncGenerator<string> {
  try {
    const response = await open(options);
    if (response.statusCode !== 200) throw await refusal(response);
    options.onOpen?.();
    let data: string[] = [];
    for await (const line of linesOf(response)) {
      if (line.startsWith("data:")) data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      if (line !== "" || data.length === 0) continue;
      yield data.join("\n");
      data = [];
    }
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
}
