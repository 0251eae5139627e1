// What the processes of an app share: functions behind a server of their own, a log, and which delivery is being worked on.
import { AsyncLocalStorage } from "node:async_hooks";
import { createServer } from "node:http";
import { serveWorkflow } from "@rotorsh/sdk";
import { askerOf } from "./ask.mjs";
import { appender } from "./log.mjs";

const { FAULTS_LOG, FAULTS_SIGNING_KEY: signingKey, FAULTS_API_KEY: apiKey, FAULTS_NODES } = process.env;

/** Appends one line, written before it returns. */
export const log = appender(FAULTS_LOG);
export const ask = askerOf({ nodes: FAULTS_NODES.split(","), apiKey });

const current = new AsyncLocalStorage();
/** `{ pid, run, delivery }` of the code that asks. */
export const by = () => current.getStore();

/** Tells the one who started this process; resolves when that will be heard, whatever becomes of us. */
export const tell = (message) =>
  new Promise((resolve, reject) => process.send(message, (error) => (error ? reject(error) : resolve())));

/** Serves, and says where. `onJob` answers callback jobs: `{ status, body }`. SIGTERM drains, as with any app. */
export function serve({ functions, onJob }) {
  const workflows = createServer();
  serveWorkflow(workflows, { functions, signingKey, app: "faults" });
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      if (!request.url.startsWith("/api/rotor")) {
        const { status, body } = onJob(JSON.parse(text), Number(request.headers["x-rotor-attempt"]));
        return void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      }
      // The handler takes a body that was read already from here.
      request.rawBody = Buffer.from(text);
      const { run, delivery } = request.method === "POST" ? JSON.parse(text) : {};
      current.run({ pid: process.pid, run, delivery }, () => workflows.emit("request", request, response));
    });
  });
  server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
  process.on("disconnect", () => process.exit(0));
}
