// The app of `faults -- pairs`: runs that wait four times for one kind of event, two waits one after the other and two side
// by side; then once more for a moment, so that an event which came twice would show; then for one that comes at its timeout.
import { createFunction } from "@rotorsh/sdk";
import { ask, serve, tell } from "./serve.mjs";

const pairs = createFunction(
  { id: "pairs", trigger: { event: "pairs.start" }, concurrency: 1_000, retries: 200 },
  async ({ event, step }) => {
    const { of, when, name, ms } = event.data;
    const wait = (id, n, timeout) =>
      step.waitForEvent(id, { event: name, match: n === undefined ? { of } : { of, n }, timeout });
    // By the one who started us, who is not killed; or by ourselves, before the step ends.
    const send = {
      before: (n) => ask("POST", "/v1/events", [{ name, id: `${of}/${n}`, data: { of, n } }]),
      during: (n) => tell({ name, of, n, ms }),
      after: () => undefined,
    }[when];
    const pair = async (n) => {
      await step.run("send", async () => void (await send(n)), { backoff: ["100ms"], retries: 50 });
      return wait("wait", undefined, "10m");
    };
    const got = [await pair(0), await pair(1), ...(await Promise.all([pair(2), pair(3)]))];
    got.push(await wait("once-more", undefined, "50ms"));
    await step.run("send-edge", () => tell({ name, of, n: "edge", ms: 300 + ms }), { retries: 50 });
    got.push(await wait("edge", "edge", "320ms"));
    return got.map((data) => data?.n ?? null);
  },
);

/** One run that is to get each of many events, at whatever moment of a delivery they come. */
const loop = createFunction(
  { id: "pairs-loop", trigger: { event: "pairs.loop" }, retries: 200, maxSteps: 5_000 },
  async ({ event, step }) => {
    const seen = [];
    while (seen.length < event.data.count) {
      const got = await step.waitForEvent("wait", { event: "pairs.looped", timeout: "10m" });
      if (got === null) break;
      if (got.n % 3 === 0) await step.run("handle", () => undefined, { backoff: ["100ms"], retries: 50 });
      seen.push(got.n);
    }
    return seen;
  },
);

serve({ functions: [pairs, loop] });
