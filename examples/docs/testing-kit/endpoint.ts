/** The endpoint at port 3000 of the pages: one that answers as it is told, or the app of a page, once it has started. */
import { createServer, type IncomingHttpHeaders, type RequestListener, Server, type ServerResponse } from "node:http";
import { type AddressInfo, Server as NetServer } from "node:net";
import { text } from "node:stream/consumers";

export type Delivery = { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string };

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve) => void server.listen(port, "127.0.0.1", resolve));

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

export async function startEndpoint() {
  const deliveries: Delivery[] = [];
  const held: ServerResponse[] = [];
  let status = 200;
  let headers: Record<string, string> = {};
  let holds = false;
  let listener: RequestListener | undefined;
  let server = createServer(async (request, response) => {
    if (listener !== undefined) return listener(request, response);
    deliveries.push({ path: request.url!, headers: request.headers, body: await text(request) });
    if (holds) held.push(response);
    else response.writeHead(status, headers).end(status === 200 ? '{"ok":true}' : "");
  });
  await listen(server, 0);
  let port = portOf(server);

  const release = (): void => {
    holds = false;
    for (const response of held.splice(0)) response.writeHead(200).end('{"ok":true}');
  };
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url: (): string => `http://127.0.0.1:${port}`,
    deliveries,
    release,
    stop,
    /** Again, where it was. */
    start: (): Promise<void> => listen(server, port),
    /** What a page exports as its handler answers from now on. */
    serve(handler: RequestListener): void {
      release();
      listener = handler;
    },
    /** `503`, `503 retry-after: 120`, or `hold`: leaves who calls without an answer, until another one is told. */
    answer(what: string): void {
      const [, code = "200", name, value] = /^(\d+)(?: ([\w-]+): (.+))?$/.exec(what) ?? [];
      release();
      listener = undefined;
      holds = what === "hold";
      status = Number(code);
      headers = name === undefined ? {} : { [name]: value! };
    },
    /** Runs an app; the server that it starts at port 3000 starts at a free one, and is the endpoint from now on. */
    async listening<T>(run: () => Promise<T>): Promise<T> {
      const original = NetServer.prototype.listen as (this: NetServer, ...all: unknown[]) => NetServer;
      const begun: Server[] = [];
      NetServer.prototype.listen = function (this: NetServer, ...args: unknown[]) {
        if (!(this instanceof Server) || args[0] !== 3000) return original.apply(this, args);
        begun.push(this);
        return original.call(this, 0, "127.0.0.1", ...args.filter((each) => typeof each === "function"));
      };
      try {
        const result = await run();
        const [app] = begun;
        if (app === undefined) return result;
        if (!app.listening) await new Promise((resolve) => app.once("listening", resolve));
        await stop();
        server = app;
        port = portOf(app);
        return result;
      } finally {
        NetServer.prototype.listen = original;
      }
    },
    async close(): Promise<void> {
      if (server.listening) await stop();
    },
  };
}
