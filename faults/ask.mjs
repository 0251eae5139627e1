// Requests to whichever node answers, repeated until one does. Imports nothing of Rotor.
import { sleep } from "./log.mjs";

/** For one answer; what takes longer is unknown, and asked again. */
const ANSWER_MS = 10_000;
/** Longer than any fault lasts. */
const PATIENCE_MS = 120_000;

/**
 * A function that asks until it is answered: what it asks for must be harmless when done twice. Answers the body; undefined
 * where `isOver` says so first. Throws at a refusal that is not to be asked again.
 */
export function askerOf({ nodes, apiKey }) {
  let turn = 0;
  return async (method, route, body, { isOver = () => false, again = (status) => status >= 500 } = {}) => {
    const until = Date.now() + PATIENCE_MS;
    for (let pause = 50; !isOver(); pause = Math.min(500, pause * 2)) {
      if (Date.now() > until) throw new Error(`${method} ${route} was never answered`);
      const answer = await fetch(nodes[turn++ % nodes.length] + route, {
        method,
        headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_MS),
      })
        .then(async (response) => ({ status: response.status, body: await response.json() }))
        .catch(() => undefined);
      if (answer !== undefined && answer.status < 300) return answer.body;
      if (answer !== undefined && !again(answer.status))
        throw new Error(`${method} ${route}: ${answer.status} ${answer.body?.error?.message}`);
      await sleep(pause);
    }
    return undefined;
  };
}
