// The app under the benchmark, a process of its own: an endpoint that verifies and answers, and functions of empty steps.
import { createServer } from "node:http";
import { createFunction, nodeHandler, verifyRotorSignature, workflowHandler } from "@rotorsh/sdk";

const signingKey = process.env.BENCH_SIGNING_KEY;
const result = "x".repeat(100);

const sequence = createFunction({ id: "sequence", concurrency: 50 }, async ({ event, step }) => {
  for (let n = 0; n < event.data.steps; n++) await step.run(`step-${n}`, () => result);
});
/** Each step's moment, so that the gap between late steps can be compared to that between early ones. */
const gaps = createFunction({ id: "gaps" }, async ({ event, step }) => {
  const times = [];
  for (let n = 0; n < event.data.steps; n++) {
    await step.run(`step-${n}`, () => {
      times.push(performance.now());
      return null;
    });
  }
  return times.map((time) => Math.round(time * 1000) / 1000);
});
const parallel = createFunction({ id: "parallel" }, async ({ event, step }) => {
  await Promise.all(Array.from({ length: event.data.steps }, (_, n) => step.run(`step-${n}`, () => null)));
});

/** Runs that wait, each for an event of its own, or sleep; each says when it was woken. `sentAt` is a time of this machine. */
const woken = [];
const waiter = createFunction({ id: "waiter", concurrency: 1_000 }, async ({ event, step }) => {
  const came = await step.waitForEvent("wake", { event: "wake", match: { n: event.data.n }, timeout: "30d" });
  woken.push(Date.now() - came.sentAt);
});
const sleeper = createFunction({ id: "sleeper", concurrency: 1_000 }, async ({ event, step }) => {
  await step.sleep("until", event.data.for ?? "30d");
  woken.push(Date.now() - event.data.dueAt);
});

const functions = [sequence, gaps, parallel, waiter, sleeper];
const workflows = nodeHandler(workflowHandler({ functions, signingKey }));
let calls = 0;
const server = createServer((request, response) => {
  if (request.url.startsWith("/api/rotor")) return workflows(request, response);
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    calls++;
    const good = verifyRotorSignature(Buffer.concat(chunks), request.headers["x-rotor-signature"], signingKey);
    response.writeHead(good ? 200 : 401).end();
  });
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("message", (question) => process.send(question === "woken" ? { woken: woken.splice(0) } : { calls }));
process.on("disconnect", () => process.exit(0));
