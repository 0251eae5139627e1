/**
 * Walks a page as a reader would, against a real server and a real endpoint. Only the two ports are others. What a page says
 * in comments, for the walk alone:
 *
 * - `endpoint: 503`, `endpoint: 503 retry-after: 120`, `endpoint: hold`: how the endpoint answers from there on.
 * - `do: …`: commands that a reader would not type there.
 * - `until: QUEUE STATE`: wait until the queue's newest job has that state or reason, without the delays between its
 *   attempts.
 * - `stop`, `start`: end the endpoint, or the app of the page, and start it again.
 * - `table: NAME`: the table below is compared by the test of this page.
 *
 * And right before a block: `part` for an answer that is shown in part, `file: PATH` for a file of this repository,
 * `file: NAME` for one that the reader makes and that later blocks may import, or `apps` for what only the walks in
 * `scripts/` carry out, in apps outside of this clone.
 */
import type { RequestListener } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { expect, onTestFinished } from "vitest";
import { eventually, type TestServer, testServer } from "../../../packages/server/src/testing-kit/server.js";
import { difference, fits } from "./compare.js";
import { type Delivery, startEndpoint } from "./endpoint.js";
import { type Ran, runModule } from "./module.js";
import { fencesOf, type Part, partsOf, readText } from "./page.js";
import { commandsOf, perform } from "./shell.js";

/** The fixed key of `rotor dev`, as the pages print it. */
export const DEV_KEY = "whsec_cm90b3ItZGV2ZWxvcG1lbnQta2V5LW5vdC1hLXNlY3JldCE=";

type Code = Part & { readonly kind: "code" };

export type Walk = {
  /** Code of the page that was neither run nor compared, by its mark. */
  readonly left: readonly Code[];
};

/**
 * Carries out all of a page; of its files those of one app, by the folder in their mark. Throws with the page's line where
 * something is not as it is shown.
 */
export async function walk(path: string, app?: string): Promise<Walk> {
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
  let last = "";
  let id = "";
  const here = (code: string): string =>
    code
      .replaceAll("http://127.0.0.1:7686", server.baseUrl)
      .replaceAll("http://127.0.0.1:3000", endpoint.url())
      .replaceAll("<id>", id);
  const there = (text: string): string =>
    text.replaceAll(server.baseUrl, "http://127.0.0.1:7686").replaceAll(endpoint.url(), "http://127.0.0.1:3000");
  const typed = async (block: string): Promise<void> => {
    for (const command of commandsOf(block)) {
      last = await perform(here(command), env);
      id = /"id": ?"([^"]+)"|^(?:Enqueued|Replaced|Started) ([^ .]+)/.exec(last)?.slice(1).find(Boolean) ?? id;
    }
  };
  const compared = (shown: string, isJson: boolean, isWhole: boolean): void => {
    const came = there(last);
    if (isJson) {
      const differs = difference(JSON.parse(shown), JSON.parse(came), isWhole);
      if (differs !== undefined)
        throw new Error(`${differs} is not as shown:\n${JSON.stringify(JSON.parse(came), null, 2)}`);
    } else if (!fits(shown, came)) throw new Error(`It is not as shown:\n${came}`);
  };
  const left: Code[] = [];
  const shown: Record<string, object> = {};

  for (const part of parts) {
    try {
      if (part.kind === "note") await noted(part.text);
      else await coded(part);
    } catch (error) {
      throw new Error(`${path}:${part.line}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { left };

  async function noted(note: string): Promise<void> {
    const [, verb, what = ""] = /^(\w+)(?:: ([\s\S]+))?$/.exec(note) ?? [];
    switch (verb) {
      case "endpoint":
        endpoint.answer(what);
        return;
      case "do":
        return typed(what);
      case "until":
        return until(server, ...(what.split(" ") as [queue: string, wanted: string]));
      case "stop":
        return endpoint.stop();
      case "start":
        return endpoint.start();
      case "table":
        return;
      default:
        throw new Error(`the comment "${note}" says nothing that a walk knows`);
    }
  }

  /** A handler that is exported is the endpoint from now on. */
  async function exported({ exports, printed }: Ran): Promise<void> {
    last = printed;
    const { POST, default: hono } = exports as { POST?: RequestListener; default?: Hono };
    if (POST !== undefined) endpoint.serve(POST);
    if (hono !== undefined) endpoint.serve(getRequestListener(hono.fetch));
  }

  async function coded(part: Code): Promise<void> {
    const { language, mark, text: code } = part;
    if (mark.startsWith("file: ") && /^examples\/|^packages\//.test(mark.slice(6))) {
      expect(code, mark).toBe(readText(mark.slice(6)));
    } else if (app !== undefined && mark.startsWith(`file: ${app}/`)) {
      await exported(await endpoint.listening(() => runModule(here(code))));
    } else if (mark.startsWith("file: ") && mark.endsWith(".ts") && !mark.includes("/")) {
      shown[`./${mark.slice(6, -3)}.js`] = (await runModule(here(code), shown)).exports;
    } else if (mark === "apps" || (mark.startsWith("file: ") && mark.includes("/"))) left.push(part);
    else if (language === "sh") await typed(code);
    else if (language === "ts") await exported(await runModule(here(code), shown));
    else if (language === "json" || language === "text") compared(code, language === "json", mark !== "part");
    else if (language === "http") requestShown(code, there, endpoint.deliveries.at(-1)!);
    else throw new Error(`nothing is known of ${language} with the mark "${mark}"`);
  }
}

/**
 * Waits for the state or reason of a queue's newest job. A next attempt is due at once; but where the page looks at a job
 * between two attempts, it has a minute for that.
 */
async function until({ rotor, db }: TestServer, queue: string, wanted: string): Promise<void> {
  const newest = async () => (await rotor.jobs.list(queue, { limit: 1 }).page()).data[0];
  await eventually(`${queue} ${wanted}`, async () => {
    const job = await newest();
    if (job?.reason !== "retrying") return job?.state === wanted || job?.reason === wanted;
    const wait = wanted === "retrying" ? "1 minute" : "0";
    await db.script(
      `update rotor.jobs set due_at = rotor.clock() + interval '${wait}' where id = '${job.id}' and state = 'waiting'`,
    );
    if (wanted === "retrying") return (await newest())?.reason === wanted;
    // Wakes whoever delivers: it would look for itself only after a second.
    await rotor.queues.resume(queue);
    return false;
  });
}

/** Compares the lines of a request that are shown, and its body where that is shown, with a delivery. */
function requestShown(shown: string, there: (text: string) => string, { path, headers, body }: Delivery): void {
  const lines = [`POST ${path} HTTP/1.1`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)].map(
    there,
  );
  const [head = "", shownBody] = shown.trim().split("\n\n");
  const missing = head.split("\n").find((line) => !lines.some((came) => fits(line, came)));
  if (missing !== undefined) throw new Error(`no line of the request fits "${missing}":\n${lines.join("\n")}`);
  if (shownBody !== undefined) expect(body).toBe(shownBody);
}
