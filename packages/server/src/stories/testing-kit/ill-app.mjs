// An app in a process of its own, whose steps do to that process what they like. `ill-apps.test.ts` starts it, and again when it ends.
import { createServer } from "node:http";
import { createFunction, nodeHandler, workflowHandler } from "@rotorsh/sdk";

const ill = (id, step, options = {}) =>
  createFunction({ id, retries: 1 }, async ({ step: steps }) => steps.run("ill", step, { retries: 0, ...options }));

const functions = [
  ill("exits", () => process.exit(0)),
  ill("rejects", () => {
    void Promise.reject(new Error("nobody listens"));
    return new Promise((resolve) => setTimeout(resolve, 5_000));
  }),
  ill("never", () => new Promise(() => undefined), { timeout: "300ms" }),
  ill("good", () => "well"),
];
const server = createServer(nodeHandler(workflowHandler({ functions, dev: true })));
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
