/**
 * Walks a page as a reader would, against a real server and a real endpoint. Only the two ports are others. What a page says
 * in comments, for the walk alone:
 *
 * - `endpoint: 503`, `endpoint: 503 retry-after: 120`, `endpoint: hold`: how the endpoint answers from there on.
 * - `do: …`: commands that a reader would not type there.
 * - `until: QUEUE STATE`: wait until the queue's newest job has that state or reason, without the delays
 *   between its attempts.
 * - `clock: 2h`: put the database's clock on, rather than wait.
 * - `table: NAME`: the table below is compared by the test of this page.
 *
 * And right before a block: `part` for an answer that is shown in part, `file: PATH` for a file of this repository, or
 * `apps` for what only `scripts/doc-apps.mjs` carries out, in apps outside of this clone.
 */
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { parseDuration } from "@rotorsh/sdk/duration";
import { expect, onTestFinished } from "vitest";
import { eventually, type TestServer, testServer } from "../../../packages/server/src/testing-kit/server.js";
import { difference, fits } from "./compare.js";
import { runModule } from "./module.js";
import { fencesOf, type Part, partsOf, readText } from "./page.js";
import { commandsOf, perform } from "./shell.js";

/** The fixed key of `rotor dev`, as the pages print it. */
export const DEV_KEY = "whsec_cm90b3ItZGV2ZWxvcG1lbnQta2V5LW5vdC1hLXNlY3JldCE=";

export type Delivery = { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string };

export type Walk = {
  readonly server: TestServer;
  /** What the endpoint got, oldest first. */
  readonly deliveries: readonly Delivery[];
  /** Code of the page that was neither run nor compared, by its mark. */
  readonly left: readonly (Part & { readonly kind: "code" })[];
};

/** Carries out all of a page. Throws with the page's line where something is not as it is shown. */
export async function walk(path: string): Promise<Walk> {
  const page = readText(path);
  const parts = partsOf(page);
  expect(parts.filter((part) => part.kind === "code").length, `${path}: blocks`).toBe(fencesOf(page));

  const server = await testServer();
  const endpoint = await startEndpoint();
  onTestFinished(async () => {
    endpoint.release();
    await server.close();
    await endpoint.close();
  });
  const env = { ROTOR_BASE_URL: server.baseUrl, ROTOR_SIGNING_KEY: DEV_KEY };
  Object.assign(process.env, env);
  let aheadMs = 0;
  let last = "";
  let id = "";
  const here = (code: string): string =>
    code
      .replaceAll("http://127.0.0.1:7686", server.baseUrl)
      .replaceAll("http://127.0.0.1:3000", endpoint.url)
      .replaceAll("<id>", id);
  const typed = async (block: string): Promise<void> => {
    for (const command of commandsOf(block)) {
      last = await perform(here(command), env);
      id = /"id": ?"([^"]+)"|^(?:Enqueued|Replaced|Started) ([^ .]+)/.exec(last)?.slice(1).find(Boolean) ?? id;
    }
  };
  const compared = (shown: string, isWhole: boolean): void => {
    if (process.env.SHOW) { console.info(last); }
    const came = last.replaceAll(server.baseUrl, "http://127.0.0.1:7686").replaceAll(endpoint.url, "http://127.0.0.1:3000");
    if (shown.trim().startsWith("{")) {
      const differs = difference(JSON.parse(shown), JSON.parse(came), isWhole);
      if (differs !== undefined) throw new Error(`${differs} is not as shown:\n${JSON.stringify(JSON.parse(came), null, 2)}`);
    } else if (!fits(shown, came)) throw new Error(`It is not as shown:\n${came}`);
  };
  const left: (Part & { readonly kind: "code" })[] = [];

  for (const part of parts) {
    try {
      if (part.kind === "note") await noted(part.text);
      else await coded(part);
    } catch (error) {
      throw new Error(`${path}:${part.line}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { server, deliveries: endpoint.deliveries, left };

  async function noted(note: string): Promise<void> {
    const [, verb, what = ""] = /^(\w+)(?:: ([\s\S]+))?$/.exec(note) ?? [];
    switch (verb) {
      case "endpoint":
        endpoint.answer(what);
        return;
      case "do":
        return typed(what);
      case "until": {
        const [queue = "", wanted] = what.split(" ");
        await eventually(`${queue} ${wanted}`, async () => {
          const { data } = await server.rotor.jobs.list(queue, { limit: 1 }).page();
          const [job] = data;
          if (job?.state === wanted || job?.reason === wanted) return true;
          if (job?.reason === "retrying") await server.db.script(`update rotor.jobs set due_at = rotor.clock() where id = '${job.id}' and state = 'waiting'`);
          return false;
        });
        return;
      }
      case "clock":
        aheadMs += parseDuration(what);
        return server.shiftClock(aheadMs);
      case "table":
        return;
      default:
        throw new Error(`the comment "${note}" says nothing that a walk knows`);
    }
  }

  async function coded(part: Part & { readonly kind: "code" }): Promise<void> {
    const { language, mark, text: code } = part;
    if (mark.startsWith("file: ") && /^examples\/|^packages\//.test(mark.slice(6))) {
      expect(code, mark).toBe(readText(mark.slice(6)));
    } else if (mark === "apps" || mark.startsWith("file: ")) left.push(part);
    else if (language === "sh") await typed(code);
    else if (language === "ts") {
      const { exports, printed } = await runModule(here(code));
      if (typeof exports.POST === "function") endpoint.serve(exports.POST as RequestListener);
      last = printed;
    }
    else if (language === "json" || language === "text") compared(code, mark !== "part");
    else if (language === "http") {
      const delivery = endpoint.deliveries.at(-1)!;
      const heads = Object.entries(delivery.headers).map(([name, value]) => `${name}: ${value}`);
      const wanted = code.trim().split("\n\n");
      last = [`POST ${delivery.path} HTTP/1.1`, ...heads].join("\n");
      for (const line of wanted[0]!.split("\n"))
        if (!last.split("\n").some((head) => fits(line, head))) throw new Error(`no line of the request fits "${line}":\n${last}`);
      if (wanted[1] !== undefined) expect(delivery.body).toBe(wanted[1]);
    } else throw new Error(`nothing is known of ${language} with the mark "${mark}"`);
  }
}

/** The endpoint at port 3000 of the pages. */
async function startEndpoint() {
  const deliveries: Delivery[] = [];
  const held: ServerResponse[] = [];
  let status = 200;
  let headers: Record<string, string> = {};
  let holds = false;
  let listener: RequestListener | undefined;
  const http = createServer(async (request, response) => {
    if (listener !== undefined) return listener(request, response);
    deliveries.push({ path: request.url!, headers: request.headers, body: await text(request) });
    if (holds) held.push(response);
    else response.writeHead(status, headers).end(status === 200 ? '{"ok":true}' : "");
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const release = (): void => {
    holds = false;
    for (const response of held.splice(0)) response.writeHead(200).end('{"ok":true}');
  };
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    deliveries,
    release,
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
    async close(): Promise<void> {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
