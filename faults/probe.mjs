// Loaded into a node by the harness (`--import`), never part of it: tells when its process did not run for a while, since the machine had
// no time for it, and, where it is asked, how much its memory holds once it was swept.
import { appendFileSync } from "node:fs";
import { watchStalls } from "./stalls.mjs";

const { FAULTS_STALLS, FAULTS_MEMORY, FAULTS_MEMORY_MS } = process.env;

watchStalls((stall) => appendFileSync(FAULTS_STALLS, `${JSON.stringify(stall)}\n`));

if (FAULTS_MEMORY !== undefined)
  setInterval(() => {
    globalThis.gc();
    const { heapUsed, external, rss } = process.memoryUsage();
    appendFileSync(
      FAULTS_MEMORY,
      `${JSON.stringify({ t: Date.now(), pid: process.pid, bytes: heapUsed + external, rss })}\n`,
    );
  }, Number(FAULTS_MEMORY_MS)).unref();
