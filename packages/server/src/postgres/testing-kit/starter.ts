/** A Rotor of its own process, as far as its Postgres goes: starts it, says so in one line of JSON, and waits to be killed. */
import { startEmbedded } from "../embedded.js";

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

try {
  const { url, pid } = await startEmbedded({ dataDir: process.argv[2]! });
  say({ kind: "started", url, pid });
  process.stdin.resume();
} catch (error) {
  say({ kind: "refused", why: error instanceof Error ? error.message : String(error) });
}
