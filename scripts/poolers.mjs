// A server behind PgBouncer: in session mode it works; in transaction mode it refuses to start, and says why. Exit code 0 when
// both are so. The Postgres is the embedded one, the pooler Debian's.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { begin, freePort, stopAfter } from "./children.mjs";
import { needDebian } from "./debian.mjs";
import { build, install, root } from "./install.mjs";
import { onPostgres } from "./on-postgres.mjs";

install();
build();
const msLeft = stopAfter(120);
const PGBOUNCER = "/usr/sbin/pgbouncer";
needDebian("PgBouncer", ["pgbouncer"], () => spawnSync(PGBOUNCER, ["--version"]).status === 0, msLeft);

const { Rotor } = await import("@rotorsh/sdk");
const apiKey = `rt_ws_default_${"p".repeat(43)}`;

/** Starts a pooler in this mode and answers the URL of the database behind it. It knows none of a session's settings. */
async function pooled(folder, mode, port) {
  const own = await freePort();
  const settings = join(folder, `${mode}.ini`);
  writeFileSync(
    settings,
    `[databases]
rotor = host=127.0.0.1 port=${port} dbname=rotor user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
auth_type = any
pool_mode = ${mode}
default_pool_size = 40
unix_socket_dir =
`,
  );
  const user = process.getuid() === 0 ? ["-u", "nobody"] : [];
  await begin(PGBOUNCER, [...user, settings], { cwd: folder }).said(/process up/);
  return `postgres://postgres@127.0.0.1:${own}/rotor`;
}

const start = (folder, databaseUrl) =>
  begin(process.execPath, [join(root, "packages/cli/bin/rotor.mjs"), "start", "--json", "--port", "0"], {
    cwd: folder,
    env: {
      DATABASE_URL: databaseUrl,
      ROTOR_BOOTSTRAP_KEY: apiKey,
      ROTOR_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString("base64"),
      ROTOR_ALLOW_PRIVATE_URLS: "loopback",
    },
  });

/** Two nodes, so that one has to wake the other; a job, and its end. */
async function works(folder, databaseUrl) {
  const [first] = await Promise.all([1, 2].map(() => start(folder, databaseUrl).said(/"url":"(http[^"]+)"/)));
  const endpoint = createServer((socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
  );
  await new Promise((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
  const rotor = new Rotor({ baseUrl: first[1], apiKey });
  await rotor.queues.create("pooled", { callbackUrl: `http://127.0.0.1:${endpoint.address().port}/` });
  const ids = await Promise.all(Array.from({ length: 50 }, () => rotor.jobs.enqueue("pooled")));
  for (const { id } of ids)
    while ((await rotor.jobs.get("pooled", id)).state !== "completed")
      await new Promise((resolve) => setTimeout(resolve, 50));
  endpoint.close();
}

process.exit(
  await onPostgres("A pooler that keeps sessions works; one that does not is refused.", async ({ folder, port }) => {
    const refused = await start(folder, await pooled(folder, "transaction", port));
    await refused.said(/connection pooler in transaction mode/);
    await works(folder, await pooled(folder, "session", port));
  }),
);
