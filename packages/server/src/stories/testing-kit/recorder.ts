/** An endpoint that remembers each call, and how many it had in hand at one time, by its own clock. No test of its own. */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { TestServer } from "../../testing-kit/server.js";

export type Call = {
  /** Milliseconds of the endpoint's own steady clock. */
  readonly at: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as JSON; undefined where it is none. */
  readonly payload: ReturnType<typeof JSON.parse>;
};

export type Recorder = {
  readonly url: string;
  readonly calls: readonly Call[];
  /** The most calls that were worked on at one time. */
  readonly most: () => number;
};

/** `work` answers the call and is at work until it resolves, whatever has become of the connection; default: 200 at once. */
export async function recorder(
  server: TestServer,
  work: (call: Call, response: ServerResponse) => Promise<unknown> | unknown = (_call, response) => response.end(),
): Promise<Recorder> {
  const calls: Call[] = [];
  let active = 0;
  let most = 0;
  const url = await server.serve(async (request, response) => {
    const at = performance.now();
    most = Math.max(most, ++active);
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const call = { at, headers: request.headers, body, payload: parsed(body) };
    calls.push(call);
    await work(call, response);
    active--;
  });
  return { url, calls, most: () => most };
}

function parsed(body: Buffer): ReturnType<typeof JSON.parse> {
  try {
    return JSON.parse(body.toString());
  } catch {
    // Whoever sends other bytes looks at those.
    return undefined;
  }
}

/** A promise, and how it is resolved from outside. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
