// S17: a server with the functions in its own process: the same handler and protocol, without a socket between them. A
// process of its own; `inOneProcess` starts it and measures.
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { createFunction, Rotor } from "@rotorsh/sdk";
import { warmUp } from "./stage.mjs";
import { sequences } from "./workflows.mjs";

const self = fileURLToPath(import.meta.url);

if (process.argv[1] === self) {
  const { startRotor } = await import("../packages/server/dist/index.js");
  const sequence = createFunction({ id: "sequence", concurrency: 50 }, async ({ event, step }) => {
    for (let n = 0; n < event.data.steps; n++) await step.run(`step-${n}`, () => "x".repeat(event.data.bytes));
  });
  const server = await startRotor({ functions: [sequence] });
  process.send({ url: server.url });
  process.on("disconnect", () => void server.stop().finally(() => process.exit(0)));
}

/** Steps a second of runs of ten steps, 50 in flight. */
export async function inOneProcess(stage, { warmMs, runs }) {
  const schema = `one_process_${randomBytes(4).toString("hex")}`;
  const apiKey = `rt_ws_default_${randomBytes(32).toString("base64url")}`;
  const child = fork(self, {
    env: {
      ...process.env,
      DATABASE_URL: stage.databaseUrl,
      ROTOR_PORT: "0",
      ROTOR_SCHEMA: schema,
      ROTOR_BOOTSTRAP_KEY: apiKey,
      ROTOR_ENCRYPTION_KEYS: randomBytes(32).toString("base64"),
      ROTOR_LOG_LEVEL: "error",
    },
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  try {
    const { url } = await new Promise((resolve, reject) => {
      child.once("message", resolve);
      child.once("exit", (code) => reject(new Error(`the server with functions ended with ${code}`)));
    });
    const own = { rotor: new Rotor({ apiKey, baseUrl: url }), untilDone: (queue) => stage.untilDone(queue, schema) };
    await warmUp(warmMs, () => sequences(own, 300));
    return await sequences(own, runs);
  } finally {
    if (child.connected) child.disconnect();
    await gone;
    await stage.client.query(`drop schema if exists ${schema} cascade`);
  }
}
