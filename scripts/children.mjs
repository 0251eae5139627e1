// Programs that a walk through the docs starts, and ends again: these and no others. And free ports for them.
import { spawn } from "node:child_process";
import { createServer } from "node:net";

export const freePort = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const children = [];

/** Starts a program. `said(pattern)` resolves with the first output that matches, and fails if it ends before. */
export function begin(command, args, { cwd, env = {} }) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: a Ctrl-C ends this program first, which then ends the others in their order.
    detached: true,
  });
  children.push(child);
  let text = "";
  const listeners = new Set();
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ]) {
    from.on("data", (chunk) => {
      to.write(chunk);
      text += chunk;
      for (const listener of listeners) listener();
    });
  }
  child.once("error", (error) => {
    text += error.message;
  });
  child.once("close", () => {
    for (const listener of listeners) listener();
  });
  const said = (pattern) =>
    new Promise((resolve, reject) => {
      const listener = () => {
        const found = pattern.exec(text);
        const isOver = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
        if (found === null && !isOver) return;
        listeners.delete(listener);
        if (found !== null) resolve(found);
        else reject(new Error(`${command} ${args.join(" ")} ended with ${child.exitCode ?? child.signalCode}`));
      };
      listeners.add(listener);
      listener();
    });
  return { said, pid: child.pid };
}

/** Ends all that was begun, the last first. Who does not go within ten seconds is killed, with what it started. */
export async function endAll() {
  for (const child of children.splice(0).reverse()) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const late = setTimeout(() => process.kill(-child.pid, "SIGKILL"), 10_000);
    await gone;
    clearTimeout(late);
  }
}

async function giveUp(why) {
  console.error(why);
  await endAll();
  process.exit(1);
}

for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => giveUp(`Ended by ${name}.`));

/**
 * A walk stops by itself: ends this process with a sentence if it takes longer than this. Answers the milliseconds that are
 * left, for what is waited for without the event loop.
 */
export function stopAfter(seconds) {
  const end = Date.now() + seconds * 1_000;
  setTimeout(() => giveUp(`It has taken more than ${seconds} s.`), seconds * 1_000).unref();
  return () => Math.max(1, end - Date.now());
}
