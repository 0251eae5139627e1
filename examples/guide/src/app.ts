// One small server with both of the guide's programs: the enrichment endpoint and the outreach workflow.
import { type ServerType, serve } from "@hono/node-server";
import { serveWorkflow } from "@rotorsh/sdk";
import { app } from "./guide/callback.js";
import { outreachSequence } from "./outreach.js";

serveWorkflow(app, { functions: [outreachSequence] });
// Rotor shows what an attempt answered; the log of this demonstration need not.
app.onError((error, c) => c.text(error.message, 500));

/** Listens on the loopback address; resolves with the port. */
export function listen(port: number): Promise<{ server: ServerType; port: number }> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, port, hostname: "127.0.0.1" }, (info) =>
      resolve({ server, port: info.port }),
    );
    server.once("error", reject);
  });
}
