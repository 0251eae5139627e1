// The functions of the bench as a Restate service, in a process of its own as Rotor's are (`bench/app.mjs`); its argument is the
// service's name.
import { createServer } from "node:http2";
import { createEndpointHandler, RestatePromise, service } from "@restatedev/restate-sdk";
import { createLedger } from "./ledger.mjs";

const ledger = createLedger();
const texts = new Map();
const text = (bytes) => texts.get(bytes) ?? texts.set(bytes, "x".repeat(bytes)).get(bytes);
let woken = [];
let ended = 0;
const step = (context, run, n, result) =>
  context.run(`step-${n}`, () => {
    ledger.do(run, n);
    return result;
  });
/** Each run tells what it is about to do, since only here its id is known; whether all runs came is the caller's to see. */
function begin(context, steps) {
  const run = context.request().id.toString();
  ledger.give(run, steps);
  return run;
}
const bench = service({
  name: process.argv[2],
  handlers: {
    async sequence(context, { steps, bytes = 100 }) {
      const run = begin(context, steps);
      for (let n = 0; n < steps; n++) await step(context, run, n, text(bytes));
      ended++;
    },
    async parallel(context, { steps }) {
      const run = begin(context, steps);
      await RestatePromise.all(Array.from({ length: steps }, (_, n) => step(context, run, n, null)));
      ended++;
    },
    async sleeper(context, { dueAt }) {
      // Not `context.date.now()`: that is a step, whose time would be added.
      await context.sleep(dueAt - Date.now());
      woken.push(Date.now() - dueAt);
      ended++;
    },
  },
});
const server = createServer(createEndpointHandler({ services: [bench], logger: () => undefined }));
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("message", (question) => {
  let wrong;
  try {
    if (question === "check") ledger.check("Restate");
  } catch (error) {
    wrong = error.message;
  }
  process.send({ woken, ended, wrong });
  if (question === "woken") woken = [];
});
process.on("disconnect", () => process.exit(0));
