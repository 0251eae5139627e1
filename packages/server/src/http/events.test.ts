/** Events and signals through the SDK's client, and the stream. What is sent is taken; what is answered is what it says that it is. */
import type { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { functionQueue } from "../testing-kit/fixtures.js";
import { createApiKey } from "./auth.js";
import type { Send, TestApi } from "./testing-kit/api.js";
import { type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";

let api: TestApi;
let send: Send;
let rotor: Rotor;
let claimed: ClientApi["claimed"];

beforeAll(async () => {
  ({ api, send, rotor, claimed } = await clientApi());
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

describe("an event", () => {
  test("starts runs, is found again, and is published once an id", async () => {
    const data = { contactId: "c1", snake_case: 1 };
    const sent = await rotor.send({ name: "contact.added", data, id: "e/1" });
    expect(sent).toEqual({ id: "e/1", runs: [expect.any(String)], duplicate: false });
    expect(await rotor.send({ name: "contact.added", data, id: "e/1" })).toEqual({ ...sent, duplicate: true });
    expect(await rotor.events.get("e/1")).toMatchObject({
      id: "e/1",
      name: "contact.added",
      data,
      started: sent.runs,
      resumed: [],
    });
    expect(await rotor.runs.get(sent.runs[0]!)).toMatchObject({ function: "outreach", event: { id: "e/1", data } });
    expect((await rotor.events.list({ name: "contact.added" }).page()).data).toHaveLength(1);
  });

  test("keeps the text of its data in the run that it starts", async () => {
    const text = '[ {"name":"contact.added", "data" : {"n":1234567890123456789.0}}, {"name":"contact.added"}]';
    const { json } = await send("POST", "/v1/events", text, { "content-type": "application/json" });
    const bodies = await api.database.db.query<{ body: string }>(
      {
        name: "test.events",
        text: "select convert_from(body, 'UTF8') as body from rotor.payloads where job_id = any($1::uuid[]) order by job_id",
      },
      [json.events.flatMap((event: { runs: string[] }) => event.runs)],
    );
    expect(bodies.map(({ body }) => /"data":(.*),"ts"/.exec(body)?.[1])).toEqual([
      '{"n":1234567890123456789.0}',
      "null",
    ]);
  });

  test("that cancels runs of a function is listened for, whether one is under way or not", async () => {
    const id = await functionQueue(api.database.db, "cancellable");
    await api.database.db.script(
      `update rotor.queues set starting = '{"cancel_on":[{"event":"order.cancelled"}]}' where id = ${id}`,
    );
    expect(await rotor.send({ name: "order.cancelled" })).not.toHaveProperty("warning");
  });

  test("that nobody listens for comes with the nearest name", async () => {
    expect((await rotor.send({ name: "contact.aded" })).warning).toMatch(
      /No function listens for "contact.aded".*Did you mean "contact.added"\?/,
    );
    expect((await rotor.send([{ name: "something.else" }]))[0]!.warning).not.toMatch(/Did you mean/);
    expect(await rotor.send([])).toEqual([]);
  });

  test.each<[unknown, RegExp]>([
    [{}, /name/],
    [{ name: "" }, /name/],
    [{ name: "rotor/run.started" }, /Rotor's own/],
    [{ name: "x".repeat(129) }, /name/],
    [{ name: "a", ts: -1 }, /ts/],
    [{ name: "a", ts: 1_790_000_000 }, /seconds/],
    [{ name: "a", ts: 8_640_000_000_000_000 }, /9999/],
    [{ name: "a", id: "" }, /id/],
    [{ name: "a", id: "rotor:step:x" }, /Rotor's own/],
    [{ name: "a", payload: 1 }, /unknown key "payload"/],
    [{ name: "a", data: "\u0000" }, /u0000/],
    [[{ name: "a" }, { name: "" }], /1\.name/],
    [Array.from({ length: 1_001 }, () => ({ name: "a" })), /1000/],
    [null, /object/],
  ])("like %j is refused, and not there", async (body, message) => {
    const { status, json } = await send("POST", "/v1/events", body);
    expect([status, json.error.message]).toEqual([422, expect.stringMatching(message)]);
    expect((await rotor.events.list({ name: "a" }).page()).data).toEqual([]);
  });
});

test("a signal ends the wait for it, with its data as it was written, once", async () => {
  const { runId } = await rotor.runs.start("plain");
  const job = (await claimed("function", "plain")).find((each) => each.jobId === runId)!;
  const signal = `${runId}/approve it`;
  await api.anonymous("POST", "/v1/checkpoints", {
    version: 1,
    runs: [{ token: tokenOf(job), reports: [{ kind: "signal", key: "w", signal, timeout_ms: 60_000 }], known_seq: 0 }],
  });
  const other = await api.as("other");
  expect((await other("POST", `/v1/signals/${encodeURIComponent(signal)}/complete`, { data: 0 })).status).toBe(404);
  const answers = await Promise.allSettled([1, 2, 3].map((n) => rotor.signals.complete(signal, { n })));
  expect(answers.filter((answer) => answer.status === "fulfilled")).toEqual([
    { status: "fulfilled", value: { runId } },
  ]);
  await expect(rotor.signals.complete(signal)).rejects.toMatchObject({ status: 404 });
  expect((await rotor.runs.get(runId)).steps).toMatchObject([
    { key: "w", state: "completed", output: { n: expect.any(Number) } },
  ]);
  expect((await send("POST", `/v1/signals/${"x".repeat(500)}/complete`, {})).status).toBe(404);
  expect((await send("POST", "/v1/signals/x/complete", { data: 1, bufferFor: "1h" })).status).toBe(422);
});

test("the stream tells what happens in the key's workspace, until its reader leaves", async () => {
  const { key } = await createApiKey(api.database.db, "default", "stream", ["read"]);
  const response = await api.app.request("/v1/stream", { headers: { authorization: `Bearer ${key}` } });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  const reader = response.body!.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe(": \n\n");
  const at = new Date().toISOString();
  api.feed({ workspace: "other", at, type: "event", secret: 1 });
  api.feed({ workspace: "default", at, type: "step", key: "a" });
  const { value } = await reader.read();
  expect(new TextDecoder().decode(value)).toBe(
    `event: step\ndata: ${JSON.stringify({ at, type: "step", key: "a" })}\n\n`,
  );
  // What somebody does by a call is told to all who look on.
  await send("POST", "/v1/queues", { name: "told" });
  const told = new TextDecoder().decode((await reader.read()).value);
  expect(told).toMatch(/^event: changed\ndata: /);
  expect(JSON.parse(told.split("data: ")[1]!)).toMatchObject({ type: "changed", action: "queue.create", id: "told" });
  await reader.cancel();
  api.feed({ workspace: "default", at, type: "step" });
});

test("a brief stream tells what was touched, each once, and of very much that it was much", async () => {
  const { key } = await createApiKey(api.database.db, "default", "brief", ["read"]);
  const follow = async () => {
    const response = await api.app.request("/v1/stream?brief=true", { headers: { authorization: `Bearer ${key}` } });
    const reader = response.body!.getReader();
    await reader.read();
    return { reader, next: async () => new TextDecoder().decode((await reader.read()).value) };
  };
  const readers = [await follow(), await follow()];
  const at = new Date().toISOString();
  for (const job of ["a", "b", "a"]) api.feed({ workspace: "default", at, type: "step", job });
  api.feed({ workspace: "default", at, type: "event", id: "e", runs: ["b", "c"], resumed: ["d"], cancelled: ["f"] });
  api.feed({ workspace: "other", at, type: "event", id: "secret" });
  for (const { next } of readers)
    expect(await next()).toBe(
      `event: touched\ndata: ${JSON.stringify({ ids: ["a", "b", "e", "c", "d", "f"], more: false })}\n\n`,
    );
  await readers[0]!.reader.cancel();
  for (let n = 0; n < 1_001; n++) api.feed({ workspace: "default", at, type: "step", job: `job-${n}` });
  expect(await readers[1]!.next()).toBe('event: touched\ndata: {"ids":[],"more":true}\n\n');
  await readers[1]!.reader.cancel();
});
