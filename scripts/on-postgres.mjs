// A check that needs a Postgres for itself, reached by whoever: the embedded one, behind a TCP address, since its socket may be
// opened by its owner alone.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endAll } from "./children.mjs";

/** Runs `work({ folder, port })` and answers the exit code: 0, and says `fine`, where it did not throw. Leaves nothing behind. */
export async function onPostgres(fine, work) {
  const { startEmbedded } = await import("../packages/server/dist/postgres/embedded.js");
  const folder = mkdtempSync(join(tmpdir(), "rotor-check-"));
  // Whoever is not us reads settings and packages from here.
  chmodSync(folder, 0o755);
  const postgres = await startEmbedded({ dataDir: join(folder, "data") });
  const relay = await relayTo(join(new URL(postgres.url).searchParams.get("host"), ".s.PGSQL.5432"));
  try {
    await work({ folder, port: relay.address().port });
    console.log(fine);
    return 0;
  } catch (error) {
    console.error(error.message);
    return 1;
  } finally {
    await endAll();
    relay.close();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function relayTo(path) {
  const relay = createServer((from) => {
    const to = connect(path);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ]) {
      one.pipe(other);
      one.on("error", () => other.destroy());
    }
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return relay;
}
