/**
 * The server's side of the wire, in memory, for the SDK's own tests: a real HTTP server for checkpoints and pages, and a hand
 * that delivers. It keeps no promises about durability, and its clock moves only when it is told to.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { RotorFunction } from "../function.js";
import type { Answer, CheckpointReply, CheckpointRequest, DeliveryRequest, Json, Report } from "../protocol.js";
import { answerContext } from "../protocol.js";
import type { HandlerTiming, WorkflowHandler, WorkflowOptions } from "../serve.js";
import { createHandler } from "../serve.js";
import { signRotor, verifyAnswer } from "../signature.js";
import { StoredRun } from "./stored-run.js";

export const KEY = "whsec_dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdC0=";

type ReplyOfRun = CheckpointReply["runs"][number];

/** What to answer for a run instead of recording; `lost`: records, then the connection dies without an answer. */
export type Intervention = ReplyOfRun["verdict"] | "lost" | ReplyOfRun | undefined;

export type PeerOptions = Partial<WorkflowOptions> & {
  readonly timing?: Partial<HandlerTiming>;
  /** Steps in a delivery's body; the rest is paged. */
  readonly pageSize?: number;
};

export type Peer = Awaited<ReturnType<typeof startPeer>>;

const signedHeaders = (body: string) => ({ "x-rotor-signature": signRotor(body, KEY, Math.floor(Date.now() / 1000)) });

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  return body;
}

export async function startPeer(functions: readonly RotorFunction[], options: PeerOptions = {}) {
  const { timing = {}, pageSize = Number.POSITIVE_INFINITY, ...rest } = options;
  const clock = { nowMs: Date.now() };
  const runs = new Map<string, StoredRun>();
  const handler: WorkflowHandler = createHandler({ signingKey: KEY, ...rest, functions }, { graceMs: 20, ...timing });
  const peer = {
    clock,
    handler,
    /** Every checkpoint POST that arrived. */
    checkpoints: [] as CheckpointRequest[],
    pagesRead: 0,
    url: "",
    /** Asked for each run of each checkpoint before it is recorded; a promise holds the reply back. */
    intervene: (_run: StoredRun, _reports: readonly Report[]): Intervention | Promise<Intervention> => undefined,
    /** Called when all of a checkpoint is recorded, before its reply leaves. */
    recorded: (_reports: readonly Report[]): void | Promise<void> => {},
    create,
    request,
    post,
    deliver,
    finish,
    close,
  };

  const entry = async ({
    token,
    reports,
    known_seq,
  }: CheckpointRequest["runs"][number]): Promise<ReplyOfRun | "lost"> => {
    const run = runs.get(token.split(":")[0]!);
    if (!run || run.token !== token) return { verdict: "stale", steps: [] };
    const said = await peer.intervene(run, reports);
    if (typeof said === "object") return said;
    if (said === "stale" || said === "cancelled" || said === "retry" || said === "invalid") {
      return {
        verdict: said,
        steps: [],
        ...(said === "invalid" && { error: { name: "RefusedError", message: "not possible" } }),
      };
    }
    for (const report of reports) run.record(report);
    run.endDue();
    return said === "lost" ? "lost" : { verdict: said ?? "go", steps: run.reply(reports, known_seq) };
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://peer");
    if (request.method === "GET") {
      peer.pagesRead += 1;
      const run = runs.get(request.headers.authorization!.slice("Bearer ".length).split(":")[0]!)!;
      const from = Number(url.searchParams.get("cursor"));
      const steps = run.wireSteps();
      const more = from + pageSize < steps.length ? String(from + pageSize) : null;
      response.end(JSON.stringify({ steps: steps.slice(from, from + pageSize), more }));
      return;
    }
    const body = JSON.parse(await bodyOf(request)) as CheckpointRequest;
    peer.checkpoints.push(body);
    const replies = await Promise.all(body.runs.map(entry));
    await peer.recorded(body.runs.flatMap(({ reports }) => reports));
    if (replies.includes("lost")) request.socket.destroy();
    else response.end(JSON.stringify({ version: 1, runs: replies }));
  };

  const server = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  peer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/checkpoints`;

  function create(fn: string, data: Json = {}): StoredRun {
    const run = new StoredRun(`run${runs.size + 1}`, fn, data, clock);
    runs.set(run.id, run);
    return run;
  }

  /** The body of the run's next delivery. */
  function request(run: StoredRun): DeliveryRequest {
    run.delivery += 1;
    run.endDue();
    const steps = run.wireSteps();
    return {
      version: 1,
      app: "default",
      function: run.fn,
      run: run.id,
      delivery: run.delivery,
      attempt: run.attempt,
      max_attempts: 4,
      event: { id: "e1", name: "test", data: run.data, ts: clock.nowMs },
      steps: steps.slice(0, pageSize),
      more: steps.length > pageSize ? String(pageSize) : null,
      checkpoint: { url: peer.url, token: run.token },
    };
  }

  function post(body: string, headers: Record<string, string> = signedHeaders(body)): Promise<Response> {
    return handler(new Request("http://app.test/api/rotor", { method: "POST", headers, body }));
  }

  /** One delivery, its answer checked and recorded. */
  async function deliver(run: StoredRun): Promise<Answer> {
    const asked = request(run);
    const response = await post(JSON.stringify(asked));
    const text = await response.text();
    const good = verifyAnswer(text, answerContext(asked.run, asked.delivery), KEY);
    if (!good) throw new Error(`no signed answer but ${response.status}: ${text}`);
    const answered = JSON.parse(good.json) as Answer;
    run.answers.push(answered);
    if (answered.status === "waiting" || answered.status === "yield")
      for (const report of answered.reports) run.record(report);
    if (answered.status === "failed" && answered.retriable) run.attempt += 1;
    return answered;
  }

  /** Delivers until the run has ended, moving the clock to what is due next; at most 200 times. */
  async function finish(run: StoredRun): Promise<Answer> {
    for (let i = 0; i < 200; i++) {
      const answered = await deliver(run);
      const again = answered.status === "failed" && answered.retriable && run.attempt <= 4;
      if (answered.status === "completed" || answered.status === "diverged") return answered;
      if (answered.status === "failed" && !again) return answered;
      const isOnlyWaiting = (report: Report) => report.kind !== "run" || report.outcome === "retry";
      if (answered.status === "waiting" && answered.reports.every(isOnlyWaiting)) {
        clock.nowMs = Math.max(clock.nowMs, run.earliestDueMs);
      }
    }
    throw new Error("the run does not end");
  }

  async function close(): Promise<void> {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }

  return peer;
}
