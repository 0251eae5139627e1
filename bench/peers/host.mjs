// One peer's turn, in a process of its own: opens it, does the work, tells the figures, closes it. Ends by itself.
import { measure, sizes } from "./scenarios.mjs";

const [file, size] = process.argv.slice(2);
const tell = (message) => new Promise((resolve) => process.send(message, resolve));
// What our parent does not wait for any more is worth nothing.
process.on("disconnect", () => process.exit(1));

try {
  const { kinds, open } = await import(file);
  const stage = await open({
    databaseUrl: process.env.BENCH_DATABASE_URL,
    folder: process.env.BENCH_FOLDER,
    appUrl: process.env.BENCH_APP_URL,
    signingKey: process.env.BENCH_SIGNING_KEY,
  });
  await measure(stage, kinds, sizes[size], (key, value) => process.send({ key, value }));
  // Closing looks for what was lost or doubled.
  await stage.close();
  await tell({ done: true });
  process.exit(0);
} catch (error) {
  await tell({ error: error instanceof Error ? error.stack : String(error) });
  process.exit(1);
}
