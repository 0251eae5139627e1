// Loaded into a node by the harness (`--expose-gc --import`): how much its memory holds once it was swept, now and then.
import { appendFileSync } from "node:fs";

const path = process.env.FAULTS_MEMORY;

if (path !== undefined)
  setInterval(() => {
    globalThis.gc();
    const { heapUsed, external, rss } = process.memoryUsage();
    appendFileSync(path, `${JSON.stringify({ t: Date.now(), pid: process.pid, bytes: heapUsed + external, rss })}\n`);
  }, Number(process.env.FAULTS_MEMORY_MS)).unref();
