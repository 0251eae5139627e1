/** Lifecycle webhooks, at a real endpoint that verifies what it gets. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createFunction, verifyRotorWebhook, type WebhookOptions } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lifecycleEvent } from "../http/lifecycle-schemas.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

type Heard = {
  readonly id: string;
  readonly type: string;
  readonly data: Record<string, Record<string, unknown> | undefined>;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
};

const read = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
};

/** An endpoint that writes down what it hears; `answer` says what it thinks of it. */
async function listener(answer: (heard: Heard, response: ServerResponse) => void = (_, response) => response.end()) {
  const heard: Heard[] = [];
  const listen: RequestListener = async (request, response) => {
    const body = await read(request);
    const event = { ...JSON.parse(body), headers: request.headers, body } as Heard;
    heard.push(event);
    answer(event, response);
  };
  const url = await server.serve(listen);
  const of = (type: string): Heard[] => heard.filter((event) => event.type === type);
  return {
    url,
    heard,
    /** The first event of a type, once it has come. */
    first: (type: string) => eventually(`an event ${type}`, () => of(type)[0]),
    of,
  };
}

/** A queue whose endpoint answers so. */
async function queue(name: string, status: number, options: object = {}): Promise<void> {
  const callbackUrl = await server.serve((request, response) => {
    request.resume();
    response.writeHead(status).end();
  });
  await server.rotor.queues.create(name, { callbackUrl, ...options });
}

let names = 0;
/** A webhook of its own, and its listener. */
async function webhook(types: WebhookOptions["types"], answer?: Parameters<typeof listener>[0]) {
  const ear = await listener(answer);
  const name = `hook-${++names}`;
  const made = await server.rotor.webhooks.create(name, { url: ear.url, types });
  return { ...ear, name, made, secret: made.secret! };
}

test("a webhook is told how a job ended, in words that its secret verifies and its schema knows", async () => {
  const hook = await webhook(["job.completed", "job.failed"]);
  await queue("mail", 200);
  await queue("lost", 500, { retry: { maxAttempts: 1 } });
  const done = await server.rotor.jobs.enqueue("mail", { payload: { secret: "s3cr3t" }, jobId: "m-1", tags: ["eu"] });
  const failed = await server.rotor.jobs.enqueue("lost");
  const completed = await hook.first("job.completed");
  expect(completed.data.job).toMatchObject({
    id: done.id,
    job_id: "m-1",
    queue: "mail",
    state: "completed",
    attempt: 1,
    tags: ["eu"],
    error: null,
  });
  expect(completed.body).not.toContain("s3cr3t");
  expect((await hook.first("job.failed")).data.job).toMatchObject({
    id: failed.id,
    state: "failed",
    error: { name: "HttpError", code: "500" },
  });
  for (const event of hook.heard) {
    expect(verifyRotorWebhook(event.body, event.headers, hook.secret)).toBe(true);
    expect(verifyRotorWebhook(`${event.body} `, event.headers, hook.secret)).toBe(false);
    expect(event.headers["rotor-webhook-id"]).toBe(event.id);
    lifecycleEvent.parse(JSON.parse(event.body));
  }
});

test("runs are told as runs: completed, failed, held", async () => {
  const hook = await webhook(["run.completed", "run.failed", "run.held"]);
  let kind: "run" | "sleep" = "run";
  const fn = createFunction({ id: "told", retries: 0 }, async ({ event, step }) => {
    if (event.data === "fails") throw new Error("no");
    if (event.data === "diverges") {
      if (kind === "run") await step.run("s", () => 1);
      else await step.sleep("s", "1h");
      await step.sleep("then", "10ms");
      kind = "sleep";
      await step.waitForSignal("never", { timeout: "10ms" }).catch(() => 0);
    }
    return 1;
  });
  await faultyApp(server, "told-app", [fn]);
  const { runId } = await server.rotor.runs.start(fn, "works");
  await server.rotor.runs.start(fn, "fails");
  expect((await hook.first("run.completed")).data.run).toMatchObject({
    id: runId,
    function: "told",
    state: "completed",
  });
  expect((await hook.first("run.failed")).data.run).toMatchObject({ error: { message: "no" } });
  const held = await server.rotor.runs.start(fn, "diverges");
  expect((await hook.first("run.held")).data.run).toMatchObject({ id: held.runId, error: { name: "DivergedError" } });
  await server.rotor.runs.cancel(held.runId);
});

test("a webhook that fails is tried again with the same id, then is a dead letter that tells nobody and can be replayed", async () => {
  let broken = true;
  const hook = await webhook(["*"], (_, response) => {
    if (broken) response.writeHead(410);
    response.end();
  });
  const { id } = await server.rotor.webhooks.test(hook.name);
  const letter = await eventually("the dead letter", async () =>
    (await server.rotor.dlq.list({ queue: `rotor/webhook/${hook.name}` }).page()).data.find((job) => job.id === id),
  );
  expect(letter).toMatchObject({ state: "failed", tags: ["webhook.test"], payload: { type: "webhook.test" } });
  broken = false;
  await server.rotor.dlq.replay({ ids: [id] });
  await eventually("the second attempt", () => hook.of("webhook.test").length === 2);
  expect(hook.of("webhook.test").map((event) => event.id)).toEqual([id, id]);
  expect(hook.heard.filter((event) => event.data.job?.id === id)).toEqual([]);
  const [told] = (await server.rotor.webhooks.deliveries(hook.name, { type: "webhook.test" }).page()).data;
  expect(told).toMatchObject({ id, payload: { data: { webhook: { name: hook.name } } } });
  await server.rotor.webhooks.delete(hook.name);
  await expect(server.rotor.webhooks.get(hook.name)).rejects.toMatchObject({ status: 404 });
  expect((await server.rotor.dlq.list({ queue: `rotor/webhook/${hook.name}` }).page()).data).toEqual([]);
});

test("only what it asked for reaches a webhook, and the queue behind it is nobody's to see or change", async () => {
  const hook = await webhook(["job.failed"]);
  await queue("quiet", 200);
  await server.rotor.jobs.enqueue("quiet");
  await queue("loud", 410);
  await server.rotor.jobs.enqueue("loud");
  await hook.first("job.failed");
  expect(new Set(hook.heard.map((event) => event.type))).toEqual(new Set(["job.failed"]));
  const system = `rotor/webhook/${hook.name}`;
  const all = (await server.rotor.queues.list().page()).data.map((each) => each.name);
  expect(all.filter((name) => name.startsWith("rotor/"))).toEqual([]);
  for (const touch of [
    () => server.rotor.queues.get(system),
    () => server.rotor.queues.update(system, { concurrency: 1 }),
    () => server.rotor.queues.pause(system),
    () => server.rotor.queues.delete(system),
    () => server.rotor.jobs.enqueue(system, { payload: 1 }),
  ])
    await expect(touch()).rejects.toMatchObject({ status: 404 });
});

test("a secret is rotated without an event that either cannot verify", async () => {
  const hook = await webhook(["webhook.test"]);
  const { secret } = await server.rotor.webhooks.rotate(hook.name);
  expect(secret).not.toBe(hook.secret);
  await server.rotor.webhooks.test(hook.name);
  const event = await hook.first("webhook.test");
  for (const each of [secret!, hook.secret]) expect(verifyRotorWebhook(event.body, event.headers, each)).toBe(true);
  expect(verifyRotorWebhook(event.body, event.headers, "whsec_of-somebody-else")).toBe(false);
});

test("what webhooks may be given is checked, and a taken name is refused", async () => {
  const { rotor } = server;
  const url = await server.serve((_, response) => response.end());
  await rotor.webhooks.create("checked", { url });
  await expect(rotor.webhooks.create("checked", { url })).rejects.toMatchObject({ status: 409 });
  expect(await rotor.webhooks.put("checked", { types: ["job.failed"] })).toMatchObject({ url, types: ["job.failed"] });
  expect((await rotor.webhooks.get("checked")).secret).toBeUndefined();
  for (const options of [
    { url: "http://169.254.169.254/" },
    { url: "nonsense" },
    { url, types: ["job.exploded" as "job.failed"] },
    { url, types: [] },
    { url, headers: { "x-rotor-signature": "1" } },
  ])
    await expect(rotor.webhooks.put("wrong", options)).rejects.toMatchObject({ status: 422 });
  expect((await rotor.webhooks.list().page()).data.map(({ name }) => name)).toContain("checked");
  await rotor.webhooks.delete("checked");
});

test("a queue that ran empty is told once, though its work came and went between two looks", async () => {
  const hook = await webhook(["queue.drained"]);
  await queue("brief", 200);
  await server.rotor.jobs.enqueueBatch("brief", [{ payload: 1 }, { payload: 2 }]);
  const drained = () => hook.of("queue.drained").filter((event) => event.data.queue?.name === "brief");
  await eventually("the first drain", () => drained().length === 1);
  await server.rotor.jobs.enqueue("brief", { payload: 3 });
  await eventually("the second drain", () => drained().length === 2);
});

test("the API's document says what webhooks are sent", async () => {
  const document = (await (await fetch(`${server.baseUrl}/doc`)).json()) as ReturnType<typeof JSON.parse>;
  const { requestBody, parameters } = document.webhooks.lifecycle.post;
  expect(requestBody.content["application/json"].schema.$ref).toBe("#/components/schemas/LifecycleEvent");
  expect(parameters.map((each: { name: string }) => each.name)).toContain("Rotor-Webhook-Signature");
});

test("a secret in a webhook's URL and headers is filled in, and shown nowhere", async () => {
  const ear = await listener();
  await fetch(`${server.baseUrl}/v1/secrets/EAR_TOKEN`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ value: "open-sesame" }),
  });
  const headers = { authorization: `Bearer \${{ secrets.EAR_TOKEN }}` };
  const made = await server.rotor.webhooks.create("sealed", { url: ear.url, headers, types: ["webhook.test"] });
  expect(made.headers).toEqual(headers);
  await server.rotor.webhooks.test("sealed");
  expect((await ear.first("webhook.test")).headers.authorization).toBe("Bearer open-sesame");
  await expect(server.rotor.webhooks.put("sealed", { headers: { a: `\${{ secrets.NONE }}` } })).rejects.toMatchObject({
    status: 422,
  });
});
