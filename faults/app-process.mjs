// An app that can be killed and replaced: processes of one script behind one address, each with a log of its own. It knows
// which of them were killed, and when: that explains what was in flight then, and nothing else.
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/install.mjs";
import { startFront } from "./front.mjs";
import { readLog } from "./log.mjs";

/** `hear` gets what a process tells by IPC, beside its port. `start` begins the first. */
export async function makeApp({ script, cluster, hear = () => undefined }) {
  const { environment, file, nodes, apiKey, signingKey } = cluster;
  const front = await startFront();
  let made = 0;
  let current;
  /** Pid → when it was killed without a warning. */
  const killed = new Map();
  /** Processes that ended although nobody ended them, and what they told in vain. */
  const problems = [];
  const wanted = new Set();

  function spawn() {
    const child = fork(join(root, "faults", script), {
      env: {
        ...environment,
        FAULTS_LOG: file(`app-${++made}.log`),
        FAULTS_SIGNING_KEY: signingKey,
        FAULTS_API_KEY: apiKey,
        FAULTS_NODES: nodes.map((node) => node.url).join(","),
      },
    });
    wanted.add(child);
    const gone = new Promise((resolve) =>
      child.once("exit", (code, signal) => {
        if (wanted.delete(child)) problems.push({ problem: "the app ended by itself", pid: child.pid, code, signal });
        resolve();
      }),
    );
    const port = new Promise((resolve, reject) => {
      child.on("message", async (message) => {
        if (message.port !== undefined) return resolve(message.port);
        try {
          await hear(message);
        } catch (error) {
          problems.push({ problem: "what the app told came to nothing", message, error: error.message });
        }
      });
      child.once("exit", () => reject(new Error(`${script} ended before it served`)));
    });
    return { child, gone, port };
  }

  async function start() {
    const next = spawn();
    front.point(await next.port);
    current = next;
  }

  async function end(process, signal) {
    wanted.delete(process.child);
    process.child.kill(signal);
    await process.gone;
  }

  return {
    front,
    killed,
    problems,
    start,
    count: () => made,
    /** Kill -9: nobody serves until the next `start`. */
    async kill() {
      front.point(undefined);
      killed.set(current.child.pid, Date.now());
      await end(current, "SIGKILL");
    },
    /** SIGTERM, once the next one serves. */
    async replace() {
      const before = current;
      await start();
      await end(before, "SIGTERM");
    },
    /** SIGTERM, and the next one only when it has ended. */
    async stopAndStart() {
      front.point(undefined);
      await end(current, "SIGTERM");
      await start();
    },
    /** All lines of all logs, in the order of time. */
    lines: () =>
      Array.from({ length: made }, (_, n) => file(`app-${n + 1}.log`))
        .flatMap((path) => (existsSync(path) ? readLog(path) : []))
        .sort((a, b) => a.t - b.t),
    async stop() {
      if (current !== undefined) await end(current, "SIGKILL");
      await front.stop();
    },
  };
}
