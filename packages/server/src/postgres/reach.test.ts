/** A Postgres behind TLS, or none: what a start says, and what of it works. */
import { writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { databaseUrlOf } from "../core/database-url.js";
import { goodTestCertificate, goodTestKey } from "../delivery/testing-kit/certificate.js";
import { startEmbedded } from "./embedded.js";
import { inspectStore } from "./guard.js";
import { cleanUp, newFolder } from "./testing-kit/kit.js";

let relay: Server;
let port: number;
let folder: string;

/** The embedded Postgres speaks no TLS: this does for it, as a provider's front does. */
beforeAll(async () => {
  folder = newFolder();
  const { url } = await startEmbedded({ dataDir: folder });
  const path = join(new URL(url).searchParams.get("host")!, ".s.PGSQL.5432");
  relay = createServer((from) => {
    from.on("error", () => undefined);
    // The client's wish for TLS comes first.
    from.once("data", () => {
      from.write("S");
      const tls = new TLSSocket(from, { isServer: true, key: goodTestKey, cert: goodTestCertificate });
      const to = connect(path);
      tls.on("error", () => to.destroy());
      to.on("error", () => tls.destroy());
      tls.pipe(to).pipe(tls);
    });
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  ({ port } = relay.address() as { port: number });
  writeFileSync(join(folder, "ca.pem"), goodTestCertificate);
});
afterAll(async () => {
  relay.close();
  await cleanUp();
});

const inspect = (query: string, host = "127.0.0.1", at = port) =>
  inspectStore(async () => {
    const client = new pg.Client({
      connectionString: databaseUrlOf(`postgres://postgres@${host}:${at}/rotor${query}`),
      connectionTimeoutMillis: 5_000,
    });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  });

it("says how to trust a certificate that is not, whatever the TLS mode is called", async () => {
  for (const mode of ["require", "verify-full"])
    await expect(inspect(`?sslmode=${mode}`)).rejects.toThrow(
      /certificate is not trusted: self-signed certificate\. .*sslrootcert=/,
    );
});

it("says the same of one for another name, and takes one that is said to be fine", async () => {
  const query = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(join(folder, "ca.pem"))}`;
  await expect(inspect(query, "localhost")).rejects.toThrow(/not trusted: Hostname\/IP does not match/);
  await inspect("?sslmode=no-verify");
});

it("says so where nobody answers", async () => {
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
  const { port: free } = gone.address() as { port: number };
  await new Promise((resolve) => gone.close(resolve));
  await expect(inspect("", "127.0.0.1", free)).rejects.toThrow(
    /The Postgres of DATABASE_URL was not reached: .*ECONNREFUSED.* Is the address right/,
  );
});
