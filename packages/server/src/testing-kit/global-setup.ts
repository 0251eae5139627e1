/** One real Postgres for a test run: `DATABASE_URL` where it is set, else an embedded one in a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbedded } from "../postgres/embedded.js";

export async function setup(): Promise<(() => Promise<void>) | undefined> {
  // One for all projects.
  if (process.env.ROTOR_TEST_DATABASE_URL) return undefined;
  if (process.env.DATABASE_URL) {
    process.env.ROTOR_TEST_DATABASE_URL = process.env.DATABASE_URL;
    return undefined;
  }
  const dataDir = await mkdtemp(join(tmpdir(), "rotor-test-"));
  const postgres = await startEmbedded({ dataDir });
  process.env.ROTOR_TEST_DATABASE_URL = postgres.url;
  return async () => {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
