/** SIGTERM on long-lived servers: deliveries in hand end at a step border before the process does. */

import { answersLeft } from "./adapters/node.js";

/** For answers that a framework of its own writes, which does not say when they have left. */
const LEAVING_MS = 100;

type Process = {
  readonly pid: number;
  on(event: "SIGTERM", listener: () => void): unknown;
  off(event: "SIGTERM", listener: () => void): unknown;
  listenerCount(event: "SIGTERM"): number;
  kill(pid: number, signal: "SIGTERM"): unknown;
};

const drains = new Set<() => Promise<void>>();

function nodeProcess(): Process | undefined {
  const found = (globalThis as { process?: Partial<Process> }).process;
  return typeof found?.on === "function" && typeof found.kill === "function" ? (found as Process) : undefined;
}

/** Resolves when every delivery is answered, and the answers are on their way: a process that ends takes what it holds along. */
async function drainAll(): Promise<void> {
  await Promise.all([...drains].map((one) => one()));
  await answersLeft();
  await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
}

/** Drains at SIGTERM, with one listener a process. Where nobody else listens, the signal then does what it did without us. */
export function drainAtShutdown(drain: () => Promise<void>): void {
  const process = nodeProcess();
  if (!process) return;
  drains.add(drain);
  if (drains.size > 1) return;
  const listener = () => {
    void drainAll().then(() => {
      process.off("SIGTERM", listener);
      // A listener takes the signal's effect away; given back, the process ends as its owner meant it to.
      if (process.listenerCount("SIGTERM") === 0) process.kill(process.pid, "SIGTERM");
    });
  };
  process.on("SIGTERM", listener);
}
