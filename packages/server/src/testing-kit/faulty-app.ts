/**
 * An app in the test's process with a network that can fail between it and its server: deliveries that break off, answers
 * and checkpoints that are lost or refused, requests that come twice or late. What fails when is the test's to say.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RotorFunction, WorkflowHandler } from "@rotorsh/sdk";
import { workflowHandler } from "@rotorsh/sdk";
import { sql } from "../store/db.js";
import type { TestServer } from "./server.js";

/** What happens to a delivery. `cut`: its connection breaks, the app goes on. `crash`: the app's checkpoints end, too. */
export type DeliveryFault = "none" | "cut" | "crash" | "answer lost" | "twice" | "late";
/** `lost`: the server has it, its reply is lost. `refused`: 503, the server never saw it. `both`: 503, and it has it. */
export type CheckpointFault = "none" | "cut" | "lost" | "refused" | "both";

export type Faults = {
  readonly delivery?: (run: string, number: number) => DeliveryFault;
  readonly checkpoint?: (delivery: Delivered) => CheckpointFault;
  /** How long until a cut, and how late what is late comes. */
  readonly afterMs?: () => number;
  /** Checkpoints go straight to the server that delivers, whichever it is. */
  readonly direct?: boolean;
};

/** A delivery as the app got it. */
export type Delivered = {
  readonly run: string;
  readonly delivery: number;
  /** Steps that it brought along, finished ones. */
  readonly finished: number;
  /** Whether anything of it failed, so that its steps may have to run again. */
  faulted: boolean;
  dead: boolean;
  /** Ends it here and now, as the death of its process would: no answer, and no checkpoint from now on. */
  readonly crash: () => void;
};

export type FaultyApp = {
  readonly url: string;
  readonly handler: WorkflowHandler;
  readonly deliveries: readonly Delivered[];
  /** Asks the server to read the list of functions again. */
  readonly sync: () => Promise<void>;
};

const current = new AsyncLocalStorage<Delivered>();

/** The delivery within which the code that asks is running. */
export const currentDelivery = (): Delivered | undefined => current.getStore();

const later = (ms: number, act: () => void): void => void setTimeout(act, ms);

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const headersOf = (request: IncomingMessage): [string, string][] =>
  Object.entries(request.headers).flatMap(([name, value]) =>
    typeof value === "string" && name !== "host" && name !== "connection" && name !== "content-length"
      ? [[name, value] as [string, string]]
      : [],
  );

const backoff = sql("faulty-app.backoff", "update rotor.queues set backoff = $1::text::jsonb where kind = 'function'");
const SHORT = JSON.stringify({ kind: "fixed", factor: 1, minMs: 10, maxMs: 10, jitter: "none", listMs: [] });

/** Serves functions as an app of this name, registered; with `move`, in place of the one that had this name. Deliveries of theirs that failed are tried again after 10 ms. */
export async function faultyApp(
  server: TestServer,
  app: string,
  functions: readonly RotorFunction[],
  faults: Faults = {},
  move = false,
): Promise<FaultyApp> {
  const handler = workflowHandler({ functions, app, dev: true });
  const deliveries: Delivered[] = [];
  let base = "";

  const handle = async (method: string, headers: [string, string][], body: Buffer, via?: number): Promise<Response> => {
    const request = new Request(`${base}/api/rotor`, { method, headers, ...(method !== "GET" && { body }) });
    // A lane of checkpoints of its own for each delivery: what fails for one is not another's.
    const env = { ROTOR_BASE_URL: via === undefined ? server.baseUrl : `${base}/via/${via}` };
    return handler(request, faults.direct ? undefined : env);
  };

  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(incoming);
    const headers = headersOf(incoming);
    if (incoming.method !== "POST") return pass(await handle(incoming.method!, headers, body), response);
    const { run, delivery, steps } = JSON.parse(body.toString()) as {
      run: string;
      delivery: number;
      steps: { state: string }[];
    };
    const fault = faults.delivery?.(run, delivery) ?? "none";
    const finished = steps.filter((step) => step.state !== "waiting").length;
    const crash = () => {
      one.faulted = true;
      one.dead = true;
      response.destroy();
    };
    const one: Delivered = { run, delivery, finished, faulted: fault !== "none", dead: false, crash };
    const via = deliveries.push(one) - 1;
    const begin = () => current.run(one, () => handle("POST", headers, body, via));
    const ms = faults.afterMs?.() ?? 0;
    if (fault === "late") {
      response.destroy();
      later(ms, () => void begin());
      return;
    }
    if (fault === "cut" || fault === "crash") {
      later(ms, () => {
        one.dead = fault === "crash";
        response.destroy();
      });
    }
    const [given] = await Promise.all([begin(), fault === "twice" ? begin() : undefined]);
    if (fault === "answer lost") {
      await given.text();
      response.destroy();
    } else if (!response.destroyed) await pass(given, response);
  };

  const checkpoint = async (via: number, path: string, incoming: IncomingMessage, response: ServerResponse) => {
    const one = deliveries[via]!;
    const body = await bodyOf(incoming);
    const fault = one.dead ? "cut" : incoming.method === "POST" ? (faults.checkpoint?.(one) ?? "none") : "none";
    if (fault !== "none") one.faulted = true;
    if (fault === "cut") return void response.destroy();
    if (fault === "refused") return void response.writeHead(503).end("{}");
    const given = await fetch(`${server.baseUrl}${path}`, {
      method: incoming.method!,
      headers: headersOf(incoming),
      ...(incoming.method === "POST" && { body }),
    });
    if (fault === "lost") response.destroy();
    else if (fault === "both") response.writeHead(503).end("{}");
    else await pass(given, response);
  };

  base = await server.serve((incoming, response) => {
    const [, via, path] = /^\/via\/(\d+)(\/.*)$/.exec(incoming.url!) ?? [];
    const done = via === undefined ? answer(incoming, response) : checkpoint(Number(via), path!, incoming, response);
    // A request of a server that stops is cut off here as anywhere.
    done.catch(() => response.destroy());
  });
  const sync = async (): Promise<void> => {
    await server.rotor.functions.sync({ url: `${base}/api/rotor`, move });
    await server.db.query(backoff, [SHORT]);
  };
  await sync();
  return { url: `${base}/api/rotor`, handler, deliveries, sync };
}

async function pass(from: Response, to: ServerResponse): Promise<void> {
  to.writeHead(from.status, Object.fromEntries(from.headers));
  if (from.body !== null) for await (const chunk of from.body) to.write(chunk);
  to.end();
}
