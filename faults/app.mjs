// The endpoint and the app under a fault run, a process of its own that no fault hits. It appends a line before it does
// anything and one before it answers, with the node that asked. What should have happened is the checker's business.
import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createFunction, nodeHandler, verifyRotorSignature, workflowHandler } from "@rotorsh/sdk";
import { lies } from "./lies.mjs";
import { appender, sleep } from "./log.mjs";
import { watchStalls } from "./stalls.mjs";

const { FAULTS_LOG, FAULTS_SIGNING_KEY: signingKey, FAULTS_NODES } = process.env;
const nodes = FAULTS_NODES.split(",");
const log = appender(FAULTS_LOG);
watchStalls((stall) => log({ phase: "stall", ...stall }));
/** Executions so far, by operation and step: what is to fail twice counts here. */
const seen = new Map();
let made = 0;

const portOf = (url) => Number(new URL(url).port);
/** The delivery that a step is done for: an old one may go on beside the one that took its place. */
const asking = new AsyncLocalStorage();

/** Does a piece of work under the eyes of the log. */
async function execute(what, ms, by, work = () => undefined) {
  const id = ++made;
  const count = (seen.get(what) ?? 0) + 1;
  seen.set(what, count);
  log({ phase: "begin", id, what, ...by });
  await sleep(ms);
  try {
    return await work(count);
  } finally {
    log({ phase: "end", id, what });
  }
}

/** One step of a run: `what` is `<op>/<step>`. */
const stepOf =
  ({ event, step }) =>
  (name, work = () => undefined, options = {}) =>
    step.run(
      name,
      async () => {
        await execute(`${event.data.op}/${name}`, event.data.ms, asking.getStore(), work);
        return `${event.data.op}/${name}`;
      },
      options,
    );

const define = (id, body) =>
  createFunction({ id, trigger: { event: `faults.${id}` }, concurrency: 50, retries: 8 }, (context) =>
    body(context, stepOf(context)),
  );

const inSteps = (count) => async (_, run) => {
  const results = [];
  for (let n = 0; n < count; n++) results.push(await run(`step-${n}`));
  return results;
};

const functions = [
  define("sequence", inSteps(6)),
  /** The same with steps that take their time. */
  define("march", inSteps(6)),
  define("trek", inSteps(3)),
  define("parallel", async (_, run) => {
    const results = await Promise.all([run("a"), run("b"), run("c"), run("d")]);
    return [...results, await run("join")];
  }),
  define("sleeper", async ({ step, event }, run) => {
    const first = await run("before");
    await step.sleep("nap", `${event.data.napMs}ms`);
    return [first, await run("after")];
  }),
  define("waiter", async ({ step, event }, run) => {
    const first = await run("before");
    const poke = await step.waitForEvent("poke", {
      event: "faults.poke",
      match: { op: event.data.op },
      timeout: "10m",
    });
    return [first, poke?.word ?? null, await run("after")];
  }),
  define("retrier", async (_, run) => {
    const flaky = await run(
      "flaky",
      (count) => {
        if (count <= 2) throw new Error("not yet");
      },
      { backoff: ["200ms"] },
    );
    return [flaky, await run("after")];
  }),
  define("parent", async ({ step, event }, run) => {
    const first = await run("before");
    const { op, ms } = event.data;
    const { result } = await step.invoke("child", {
      workflow: "child",
      data: { op: `${op}.child`, ms },
      timeout: "10m",
    });
    return [first, result];
  }),
  define("child", async (_, run) => [await run("only")]),
  /** Started anew by an operator when it has ended. */
  define("replayed", async (_, run) => [await run("only")]),
  /** Of two events that come close together, one run. */
  createFunction(
    { id: "gathered", trigger: { event: "faults.gathered" }, debounce: { period: "1s", key: "data.op" }, retries: 8 },
    async (context) => [await stepOf(context)("only")],
  ),
  /** Never ends by itself: its time limit ends it. */
  createFunction(
    { id: "deadlined", trigger: { event: "faults.deadlined" }, timeout: "3s", retries: 8 },
    async (context) => {
      const first = await stepOf(context)("before");
      await context.step.sleep("nap", "10m");
      return [first];
    },
  ),
  define("signalled", async ({ step, event }, run) => {
    const word = await step.waitForSignal("signal", { signal: `signal-${event.data.op}`, timeout: "10m" });
    return [word, await run("after")];
  }),
];

/**
 * Two of one app, as behind a balancer: a delivery and the one before it never share one, else the newer one would end the
 * older, and whoever had to refuse what that still says would never be asked.
 */
const twins = [0, 1].map(() => nodeHandler(workflowHandler({ functions, signingKey, app: "faults" })));

/** Reports an accepted job's end until some node says that it knows. */
async function complete(url, body) {
  const { pathname, search } = new URL(url);
  for (let tries = 0; tries < 400; tries++) {
    const answer = await fetch(nodes[tries % nodes.length] + pathname + search, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      signal: AbortSignal.timeout(5_000),
    }).catch(() => undefined);
    if (answer !== undefined && answer.status < 500) return answer.status;
    await sleep(100);
  }
  return 0;
}

async function job(request, response, text) {
  const header = (name) => request.headers[`x-rotor-${name}`];
  const { op, kind, ms, failures = 0 } = JSON.parse(text);
  const url = header("complete-url");
  const hash = createHash("sha1").update(text).digest("base64");
  const by = { node: portOf(url), job: header("job-id"), attempt: Number(header("attempt")), hash };
  if (!verifyRotorSignature(text, request.headers["x-rotor-signature"], signingKey)) {
    log({ phase: "forged", what: op, ...by });
    return response.writeHead(401).end();
  }
  const answer = (status, body, headers = {}) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
  if (kind in lies) {
    const id = ++made;
    const count = (seen.get(op) ?? 0) + 1;
    seen.set(op, count);
    log({ phase: "begin", id, what: op, ...by });
    await sleep(ms);
    if (count > lies[kind].times) {
      // Before it answers, as anywhere: who hears it may be quicker than the log.
      log({ phase: "end", id, what: op });
      return answer(200, JSON.stringify({ op }));
    }
    response.once("close", () => log({ phase: "end", id, what: op }));
    return lies[kind].tell(request, response);
  }
  if (kind === "expired" && by.attempt === 1) {
    // Accepted, and never heard of again.
    return execute(op, 0, by, () => answer(202, "", { "x-rotor-async": "true" }));
  }
  if (kind === "async") {
    log({ phase: "accepted", what: op, ...by });
    answer(202, "", { "x-rotor-async": "true" });
    await execute(op, ms, by);
    const status = await complete(url, JSON.stringify({ output: { op } }));
    return log({ phase: "reported", what: op, status, ...by });
  }
  const failed = await execute(op, ms, by, (count) => count <= failures);
  return failed ? answer(500, '{"no":true}') : answer(200, JSON.stringify({ op }));
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const text = Buffer.concat(chunks).toString();
    if (request.url === "/hook") return void response.writeHead(204).end();
    if (!request.url.startsWith("/api/rotor")) return void job(request, response, text);
    // The handler takes a body that was read already from here.
    request.rawBody = Buffer.from(text);
    if (request.method !== "POST") return twins[0](request, response);
    const { run, delivery, checkpoint } = JSON.parse(text);
    return asking.run({ node: portOf(checkpoint.url), run, delivery }, () => twins[delivery % 2](request, response));
  });
});
server.listen(0, "127.0.0.1", () => process.send({ url: `http://127.0.0.1:${server.address().port}` }));
process.on("disconnect", () => process.exit(0));
