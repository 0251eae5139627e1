/** SIGTERM on long-lived servers: deliveries in hand end at a step border before the process does. */

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

/** Drains at SIGTERM, with one listener a process. Where nobody else listens, the signal then does what it did without us. */
export function drainAtShutdown(drain: () => Promise<void>): void {
  const process = nodeProcess();
  if (!process) return;
  drains.add(drain);
  if (drains.size > 1) return;
  const listener = () => {
    void Promise.all([...drains].map((one) => one())).then(() => {
      process.off("SIGTERM", listener);
      // A listener takes the signal's effect away; given back, the process ends as its owner meant it to.
      if (process.listenerCount("SIGTERM") === 0) process.kill(process.pid, "SIGTERM");
    });
  };
  process.on("SIGTERM", listener);
}
