// The app under the benchmark, processes of its own: an endpoint that verifies and answers, and functions of empty steps.
// BENCH_PROCESSES is how many share its port (1).
import cluster from "node:cluster";
import { createServer } from "node:http";
import { createFunction, nodeHandler, verifyRotorSignature, workflowHandler } from "@rotorsh/sdk";

const signingKey = process.env.BENCH_SIGNING_KEY;
const processes = Number(process.env.BENCH_PROCESSES ?? 1);

if (cluster.isPrimary && processes > 1) {
  const workers = Array.from({ length: processes }, () => cluster.fork());
  let ready = 0;
  for (const worker of workers) worker.once("message", (message) => ++ready === processes && process.send(message));
  // A question goes to each of them, and what they answer is one: counts are added, lists joined.
  process.on("message", async (question) => {
    const answer = (worker) =>
      new Promise((resolve) => {
        worker.once("message", resolve);
        worker.send(question);
      });
    const [first, ...others] = await Promise.all(workers.map(answer));
    const sum = (a, b) => (Array.isArray(a) ? [...a, ...b] : a + b);
    for (const other of others) for (const key of Object.keys(first)) first[key] = sum(first[key], other[key]);
    process.send(first);
  });
  process.on("disconnect", () => {
    for (const worker of workers) worker.kill();
    process.exit(0);
  });
} else {
  const texts = new Map();
  /** A result of so many bytes. */
  const text = (bytes) => texts.get(bytes) ?? texts.set(bytes, "x".repeat(bytes)).get(bytes);

  /** How often a step's code ran, of `sequence` and `parallel`. */
  let ran = 0;
  const result = (value) => {
    ran++;
    return value;
  };

  /** A second app has other functions than the first. */
  const suffix = process.env.BENCH_SUFFIX ?? "";

  const sequence = createFunction({ id: `sequence${suffix}`, concurrency: 50 }, async ({ event, step }) => {
    const { steps, bytes = 100 } = event.data;
    for (let n = 0; n < steps; n++) await step.run(`step-${n}`, () => result(text(bytes)));
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
    await Promise.all(Array.from({ length: event.data.steps }, (_, n) => step.run(`step-${n}`, () => result(null))));
  });
  /** Runs that wait, each for an event of its own, or sleep; each says when it was woken. `sentAt` is a time of this machine. */
  let woken = [];
  const waiter = createFunction({ id: "waiter", concurrency: 1_000 }, async ({ event, step }) => {
    const came = await step.waitForEvent("wake", { event: "wake", match: { n: event.data.n }, timeout: "30d" });
    woken.push(Date.now() - came.sentAt);
  });
  const sleeper = createFunction({ id: "sleeper", concurrency: 1_000 }, async ({ event, step }) => {
    const { until, dueAt } = event.data;
    if (until === undefined) await step.sleep("until", "30d");
    else await step.sleepUntil("until", new Date(until));
    woken.push(Date.now() - dueAt);
  });

  const functions = suffix === "" ? [sequence, gaps, parallel, waiter, sleeper] : [sequence];
  const app = process.env.BENCH_APP ?? "default";
  const workflows = nodeHandler(workflowHandler({ functions, signingKey, app }));
  let calls = 0;
  /** Of jobs that say when they were sent: how long it took until they were here. */
  let took = [];
  const server = createServer((request, response) => {
    if (request.url.startsWith("/api/rotor")) return workflows(request, response);
    // Who has a key and keeps it.
    if (request.url === "/hang") return request.resume();
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const now = Date.now();
      calls++;
      const body = Buffer.concat(chunks);
      const good = verifyRotorSignature(body, request.headers["x-rotor-signature"], signingKey);
      response.writeHead(good ? 200 : 401).end();
      if (request.url === "/timed") took.push(now - JSON.parse(body).sentAt);
    });
  });
  server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
  process.on("message", (question) => {
    process.send({ calls, ran, woken, took });
    if (question === "woken") woken = [];
    if (question === "took") took = [];
  });
  process.on("disconnect", () => process.exit(0));
}
