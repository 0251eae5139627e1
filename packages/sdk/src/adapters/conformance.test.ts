/** What a server may rely on, of every adapter alike. `testing-kit/adapters.ts` is the list of them. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { createFunction } from "../function.js";
import type { Answer, DeliveryRequest, Json } from "../protocol.js";
import { answerContext, manifestContext } from "../protocol.js";
import { createHandler } from "../serve.js";
import { signRotor, verifyAnswer } from "../signature.js";
import { type Adapter, adapters, type Serving } from "../testing-kit/adapters.js";
import { served, signedHeaders } from "../testing-kit/frameworks.js";
import { KEY, startPeer } from "../testing-kit/peer.js";
import { gate } from "../testing-kit/peer-for.js";

const NONCE = "0123456789abcdef0123456789abcdef";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const close of closers.splice(0)) await close();
});

/** An app of two functions behind an adapter, and the server's side of it. */
async function setUp(serve: Adapter["serve"]) {
  const [begun, goOn] = [gate(), gate()];
  const hello = createFunction({ id: "hello", trigger: { event: "greeted" } }, async ({ event, step }) => [
    await step.run("once", () => event.data),
  ]);
  const slow = createFunction({ id: "slow" }, async ({ step }) => {
    await step.run("held", () => {
      begun.open();
      return goOn.opened;
    });
    return step.run("after", () => "late");
  });
  const handler = createHandler(
    { functions: [hello, slow], signingKey: KEY },
    { graceMs: 20, plainWithinMs: 50, lifeEveryMs: 2 },
  );
  const peer = await startPeer([hello, slow]);
  closers.push(peer.close);
  const app = await serve(handler);
  return { app, peer, handler, begun: begun.opened, goOn: goOn.open };
}

type Peer = Awaited<ReturnType<typeof startPeer>>;

const post = (app: Serving, body: string, headers: Record<string, string> = signedHeaders(body)) =>
  app.call({ method: "POST", body, headers });

const codeOf = async (response: Response): Promise<unknown[]> => [
  response.status,
  ((await response.json()) as { error: { code: string } }).error.code,
];

function answerIn(text: string, { run, delivery }: DeliveryRequest): Answer {
  const signed = verifyAnswer(text, answerContext(run, delivery), KEY);
  if (!signed) throw new Error(`no signed answer: ${text.slice(0, 200)}`);
  return JSON.parse(signed.json) as Answer;
}

/** One delivery of a new run of "hello". */
async function deliver(app: Serving, peer: Peer, data: Json = "Zoë") {
  const asked = peer.request(peer.create("hello", data));
  const response = await post(app, JSON.stringify(asked));
  return answerIn(await response.text(), asked);
}

describe.each(Object.entries(adapters))("%s", (_, { serve, parsed }) => {
  test("registers itself at its server by its own address", async () => {
    const { app } = await setUp(serve);
    const asked: unknown[] = [];
    const server = await served(async (request, response) => {
      for await (const chunk of request) asked.push([request.url, JSON.parse(String(chunk))]);
      response.end('{"functions":[]}');
    });
    vi.stubEnv("ROTOR_BASE_URL", server);
    const response = await app.call({ method: "PUT" });
    expect([response.status, await response.json()]).toEqual([200, { functions: [] }]);
    expect(asked).toEqual([["/v1/functions/sync", { url: app.url }]]);
  });

  test("describes itself to its server, and to nobody else", async () => {
    const { app } = await setUp(serve);
    const headers = { ...signedHeaders(""), "x-rotor-nonce": NONCE };
    const manifest = await (await app.call({ headers })).text();
    const signed = verifyAnswer(manifest, manifestContext(NONCE), KEY);
    expect(JSON.parse(signed!.json)).toMatchObject({ app: "default", functions: [{ id: "hello" }, { id: "slow" }] });
    expect((await app.call({ headers: { "x-rotor-nonce": NONCE } })).status).toBe(401);
  });

  test("runs a delivery, and checkpoints its step before it answers", async () => {
    const { app, peer } = await setUp(serve);
    const data = { name: "Zoë 🎉", n: 1.5, list: [null, true] };
    expect(await deliver(app, peer, data)).toMatchObject({ status: "completed", output: [data] });
    expect(peer.checkpoints.flatMap(({ runs }) => runs.flatMap(({ reports }) => reports))).toMatchObject([
      { key: "once", outcome: "completed", output: data },
    ]);
  });

  test("answers `stale` when the server says that the delivery is over", async () => {
    const { app, peer } = await setUp(serve);
    peer.intervene = () => "stale";
    expect(await deliver(app, peer)).toMatchObject({ status: "stale" });
  });

  test("refuses what is not signed, signed with another key, for other bytes, or long ago", async () => {
    const { app, peer } = await setUp(serve);
    const body = JSON.stringify(peer.request(peer.create("hello")));
    const now = Math.floor(Date.now() / 1000);
    const json = { "content-type": "application/json" };
    for (const signature of [
      undefined,
      "t=1,v1=00",
      signRotor(body, "whsec_other", now),
      signRotor(`${body} `, KEY, now),
      signRotor(body, KEY, now - 400),
    ]) {
      const headers = { ...json, ...(signature !== undefined && { "x-rotor-signature": signature }) };
      expect(await codeOf(await post(app, body, headers))).toEqual([401, "bad_signature"]);
    }
    expect(peer.checkpoints).toEqual([]);
  });

  test("refuses another app's functions, unknown ones and other versions by name", async () => {
    const { app, peer } = await setUp(serve);
    const asked = peer.request(peer.create("hello"));
    const codeFor = async (change: object) => codeOf(await post(app, JSON.stringify({ ...asked, ...change })));
    expect(await codeFor({ function: "nope" })).toEqual([404, "no_function"]);
    expect(await codeFor({ app: "shop" })).toEqual([404, "other_app"]);
    expect(await codeFor({ version: 99 })).toEqual([500, "unknown_version"]);
  });

  test("takes a large delivery, and refuses one beyond all bounds", async () => {
    const { app, peer } = await setUp(serve);
    const large = "x".repeat(1_000_000);
    expect(await deliver(app, peer, large)).toMatchObject({ status: "completed", output: [large] });
    const body = JSON.stringify({ data: "x".repeat(6 * 1024 * 1024) });
    expect(await codeOf(await post(app, body))).toEqual([413, "body_too_large"]);
    expect(await deliver(app, peer)).toMatchObject({ status: "completed" });
  });

  test("shows life while it works, before the signature of its answer", async () => {
    const { app, peer, goOn } = await setUp(serve);
    const asked = peer.request(peer.create("slow"));
    const response = await post(app, JSON.stringify(asked));
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (text.length < 3) text += (await reader.read()).value;
    expect(text.trim()).toBe("");
    goOn();
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
    expect(text).toMatch(/^ {3,}rotor-signature t=/);
    expect(answerIn(text, asked)).toMatchObject({ status: "completed", output: "late" });
  });

  test("goes on when its server has gone: the step is stored, and the next delivery is answered", async () => {
    const { app, peer, begun, goOn } = await setUp(serve);
    const run = peer.create("slow");
    const stored = gate();
    peer.recorded = (reports) => {
      if (reports.some(({ key }) => key === "after")) stored.open();
    };
    const response = await post(app, JSON.stringify(peer.request(run)));
    await begun;
    await response.body!.cancel();
    goOn();
    await stored.opened;
    expect(run.finished).toEqual(["held", "after"]);
    expect(await deliver(app, peer)).toMatchObject({ status: "completed" });
  });

  test("drained, it lets the running step end, answers `yield`, and refuses what is new", async () => {
    const { app, peer, handler, begun, goOn } = await setUp(serve);
    const run = peer.create("slow");
    const asked = peer.request(run);
    const response = post(app, JSON.stringify(asked));
    await begun;
    const drained = handler.drain();
    const late = JSON.stringify(peer.request(peer.create("hello")));
    expect(await codeOf(await post(app, late))).toEqual([503, "draining"]);
    goOn();
    await drained;
    expect(answerIn(await (await response).text(), asked)).toMatchObject({ status: "yield", reports: [] });
    expect(run.finished).toEqual(["held"]);
  });

  if (parsed) {
    test("behind a parser that drops the bytes, names the line to add", async () => {
      const { app, peer } = await setUp(parsed.serve);
      const response = await post(app, JSON.stringify(peer.request(peer.create("hello"))));
      const { error } = (await response.json()) as { error: { code: string; message: string } };
      expect([response.status, error.code]).toEqual([500, "raw_body_missing"]);
      expect(error.message).toMatch(parsed.remedy);
    });
  }
});
