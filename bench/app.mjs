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

const workflows = nodeHandler(workflowHandler({ functions: [sequence, gaps, parallel], signingKey }));
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
process.on("message", () => process.send({ calls }));
process.on("disconnect", () => process.exit(0));
