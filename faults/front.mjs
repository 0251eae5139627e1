// A reverse proxy before an app, as a deployment has one: it hands each request to the app that serves now, so that the
// next one can take over from the one before it, and it can break every connection. Imports nothing of Rotor.
import { request as ask, createServer } from "node:http";

/** Listens on a free port. Without a target it says so with a 502, as proxies do. */
export async function startFront() {
  let target;
  const open = new Set();
  const server = createServer((incoming, response) => {
    if (target === undefined) return void response.writeHead(502).end();
    open.add(response);
    const { method, headers, url: path } = incoming;
    // A connection of its own for each: nothing is held on to an app that is about to go.
    const outgoing = ask({ host: "127.0.0.1", port: target, method, headers, path, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      // Each byte as it comes: signs of life among them.
      answer.on("data", (chunk) => response.write(chunk));
      answer.on("end", () => response.end());
      answer.on("error", () => response.destroy());
    });
    outgoing.on("error", () => response.destroy());
    response.on("close", () => {
      open.delete(response);
      if (!response.writableFinished) outgoing.destroy();
    });
    incoming.pipe(outgoing);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** The port of the app that serves from now on; undefined: none does. */
    point: (port) => {
      target = port;
    },
    /** Breaks what is in hand. */
    cut: () => {
      for (const response of open) response.destroy();
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
