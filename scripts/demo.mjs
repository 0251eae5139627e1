// The demonstration: a Postgres, a server, the guide's app; one callback job that fails once, one workflow that sleeps
// and waits. With `--once` it ends when both are done, with one line of JSON.

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { DEVELOPMENT_SIGNING_KEY } from "@rotorsh/sdk/protocol";

process.env.ROTOR_SIGNING_KEY ??= DEVELOPMENT_SIGNING_KEY;
process.env.ROTOR_DEV = "1";
process.env.GUIDE_WARM_UP ??= "2s";
process.env.ROTOR_LOG_LEVEL ??= "warn";

const { Rotor } = await import("@rotorsh/sdk");
const { readConfig, startRotor, ConfigError } = await import("@rotorsh/server");
const { listen, failOnce, mailbox } = await import("@rotorsh/example-guide");
const { followFeed, feedLine } = await import("../packages/cli/dist/feed.js");

const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
const startedAt = performance.now();
const seconds = () => Math.round((performance.now() - startedAt) / 100) / 10;

/** The usual port where it is free; any other for a run that nobody visits. */
async function startServer() {
  try {
    return await startRotor(readConfig(process.env, { mode: "dev" }));
  } catch (error) {
    if (!values.once || !(error instanceof ConfigError) || !error.message.startsWith("Port ")) throw error;
    return startRotor(readConfig(process.env, { mode: "dev", port: 0 }));
  }
}

async function main() {
  const server = await startServer();
  const guide = await listen(0);
  const appUrl = `http://127.0.0.1:${guide.port}`;
  console.log(`Rotor listens at ${server.url} (${server.store}); open it in a browser.`);
  console.log(`The guide's app listens at ${appUrl}.`);
  console.log("This is the demonstration; the server by itself is `npx rotor dev`.\n");

  process.env.ROTOR_BASE_URL = server.url;
  const rotor = new Rotor({ baseUrl: server.url });
  const feed = new AbortController();
  const followed = followFeed({
    baseUrl: server.url,
    signal: feed.signal,
    onEntry: (entry) => console.log(feedLine(entry, { baseUrl: server.url })),
  });
  const stop = async () => {
    feed.abort();
    await followed;
    await new Promise((resolve) => guide.server.close(resolve));
    await server.stop();
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      process.once(signal, () => process.exit(1));
      stop().then(() => process.exit(0), fail);
    });
  }

  const contactId = `contact-${randomUUID().slice(0, 8)}`;
  failOnce(contactId);
  mailbox.deliver = ({ to, template }) => {
    if (template === "intro")
      rotor
        .send({ name: "email.opened", data: { contactId: to.split("@")[0], at: new Date().toISOString() } })
        .catch(fail);
  };

  await rotor.queues.put("enrichment", {
    callbackUrl: `${appUrl}/rotor/enrichment`,
    retry: { maxAttempts: 5, backoff: "fixed", min: "500ms" },
  });
  await rotor.functions.sync({ url: `${appUrl}/api/rotor`, move: true });
  const job = await rotor.jobs.enqueue("enrichment", { payload: { contactId } });
  const { runs } = await rotor.send({ name: "contact.added", data: { contactId } });
  const runId = runs[0];

  const [callback, workflow] = await Promise.all([finishedJob(rotor, job.id), finishedRun(rotor, runId)]);
  const summary = {
    callback: { state: callback.state, attempts: callback.attempt },
    workflow: { state: workflow.state, steps: workflow.steps.map((step) => step.key) },
    seconds: seconds(),
  };
  const well = callback.state === "completed" && workflow.state === "completed";
  if (values.once) {
    await stop();
    console.log(JSON.stringify(summary));
    process.exit(well ? 0 : 1);
  }
  console.log(
    `\n${well ? "Both are done" : "Not both are done"} after ${summary.seconds} s: the job took ${callback.attempt} attempts, the workflow ${workflow.steps.length} steps.`,
  );
  console.log(`Try: curl -s ${server.url}/v1/runs/${runId}    Stop with Ctrl-C.`);
}

const LIMIT_MS = 60_000;

async function finishedJob(rotor, id) {
  const until = performance.now() + LIMIT_MS;
  for (;;) {
    const job = await rotor.jobs.get("enrichment", id);
    if (["completed", "failed", "cancelled"].includes(job.state) || performance.now() > until) return job;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function finishedRun(rotor, runId) {
  await rotor.runs.result(runId, { timeout: "60s" }).catch(() => undefined);
  return rotor.runs.get(runId);
}

function fail(error) {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exit(1);
}

main().catch(fail);
