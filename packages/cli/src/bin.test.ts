import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { call, temporaryFolder } from "./testing-kit/context.js";

const bin = fileURLToPath(new URL("../bin/rotor.mjs", import.meta.url));

/** The built command, as a shell would call it, with a store in a folder of its own. */
function start(dataDir: string, ...argv: string[]): ChildProcess {
  const { DATABASE_URL: _, ...env } = process.env;
  const child = spawn(process.execPath, [bin, ...argv], {
    env: { ...env, ROTOR_DATA_DIR: dataDir, HOME: dataDir },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** An endpoint that refuses the first delivery. */
async function startEndpoint(): Promise<string> {
  let count = 0;
  const server = createServer((_, response) => response.writeHead(count++ === 0 ? 503 : 200).end()).listen(
    0,
    "127.0.0.1",
  );
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
}

test("rotor dev starts on an empty folder, tells every delivery, and stops gently; then the doctor is content", async () => {
  const folder = temporaryFolder();
  // Postgres may run as another user, who must be able to go in.
  chmodSync(folder, 0o755);
  const dataDir = join(folder, "data");
  const dev = start(dataDir, "dev", "--port", "0", "--json");
  const lines = createInterface({ input: dev.stdout! })[Symbol.asyncIterator]();
  const read = async () => JSON.parse((await lines.next()).value as string) as Record<string, unknown>;

  const started = await read();
  expect(started).toMatchObject({
    type: "started",
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    held: false,
  });

  const env = { ROTOR_BASE_URL: started.url as string };
  const url = await startEndpoint();
  const made = await call(["queues", "create", "q", "--url", url, "--concurrency", "5", "--retry-attempts", "3"], {
    env,
  });
  expect(made).toMatchObject({ code: 0, err: "" });
  const enqueued = await call(["jobs", "enqueue", "q", '{"a":1}', "--id", "j1", "--json"], { env });
  expect(JSON.parse(enqueued.out)).toMatchObject({ queue: "q", duplicate: false });

  const outcomes: unknown[] = [];
  while (outcomes.length < 2) {
    const entry = await read();
    if (entry.type === "delivery") outcomes.push([entry.queue, entry.attempt, entry.outcome, entry.status]);
  }
  expect(outcomes).toEqual([
    ["q", 1, "retry", 503],
    ["q", 2, "completed", 200],
  ]);
  expect((await call(["jobs", "get", "q", "j1"], { env })).out).toMatch(/state +completed/);

  const stopped = once(dev, "exit");
  dev.kill("SIGINT");
  expect(await stopped).toEqual([0, null]);

  const doctor = start(dataDir, "doctor");
  const done = once(doctor, "exit");
  const [said] = await once(doctor.stdout!, "data");
  expect(String(said)).toContain("All is well");
  expect(await done).toEqual([0, null]);
});
