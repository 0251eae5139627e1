/** The embedded Postgres dies under a running server: nothing acknowledged is lost, and it needs nobody's hands. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Rotor } from "@rotorsh/sdk";
import { expect, test } from "vitest";
import { readConfig } from "./config.js";
import { startRotor } from "./main.js";
import { eventually } from "./testing-kit/server.js";

test("a killed embedded Postgres is started again, with all that was enqueued", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "rotor-revive-"));
  const config = readConfig({ ROTOR_DATA_DIR: dataDir, ROTOR_LOG_LEVEL: "silent" }, { mode: "dev", port: 0 });
  const server = await startRotor(config);
  try {
    const rotor = new Rotor({ baseUrl: server.url });
    await rotor.queues.create("kept");
    const before = await rotor.jobs.enqueue("kept", { payload: 1 });
    const pid = Number((await readFile(join(dataDir, "postgres/postmaster.pid"), "utf8")).split("\n")[0]);
    process.kill(pid, "SIGKILL");
    const after = await eventually("an enqueue", () =>
      rotor.jobs.enqueue("kept", { payload: 2, jobId: "two" }).catch(() => undefined),
    );
    // Backends outlive their postmaster for a moment: the enqueue may have come through one, and the list to another's end.
    const list = await eventually("a list", () =>
      rotor.jobs
        .list("kept")
        .page()
        .catch(() => undefined),
    );
    const ids = list.data.map((job) => job.id);
    expect(ids.sort()).toEqual([before.id, after.id].sort());
  } finally {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});
