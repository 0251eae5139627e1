/** A start that waits for its end, in one request: over HTTP, by the client. */
import { createFunction, Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
  await faultyApp(server, "invoking", [double, fails, naps, alone]);
});
afterAll(() => server.close());

const double = createFunction({ id: "double" }, async ({ event, step }) => {
  const { n } = event.data as { n: number };
  return { twice: await step.run("twice", () => 2 * n) };
});
const fails = createFunction({ id: "fails", retries: 0 }, async () => {
  throw new TypeError("no such customer");
});
const naps = createFunction({ id: "naps" }, async ({ step }) => {
  await step.sleep("nap", "1h");
  return "rested";
});
const alone = createFunction({ id: "alone", singleton: { mode: "skip" } }, async ({ step }) => {
  await step.sleep("nap", "1h");
});

/** What these tests read of an answer: a start's, or an error's. */
type Answer = { readonly run_id: string; readonly run: object; readonly error: { readonly message: string } };

/** A client that tells which requests it made. */
function telling(): { readonly rotor: Rotor; readonly made: string[] } {
  const made: string[] = [];
  const rotor = new Rotor({
    baseUrl: server.baseUrl,
    fetch: (input, init) => {
      made.push(`${init?.method} ${new URL(String(input)).pathname}`);
      return fetch(input, init);
    },
  });
  return { rotor, made };
}

const runsOf = async (id: string) => (await server.rotor.runs.list({ function: id }).page()).data;

/** The run of `naps` that was started with this id, once it sleeps. */
const asleep = (id: string) =>
  eventually(`${id} sleeps`, async () =>
    (await runsOf("naps")).find(({ event, reason }) => event.id === id && reason === "sleeping"),
  );

test("answers with what the run returned, and took one request for it", async () => {
  const { rotor, made } = telling();
  const { result, runId } = await rotor.runs.invoke(double, { n: 21 });
  expect(result.twice).toBe(42);
  expect(made).toEqual(["POST /v1/functions/double/runs"]);
  expect(await server.rotor.runs.result(runId)).toEqual({ twice: 42 });
});

test("of two with one id, both have the end of the one run, also when it has ended long ago", async () => {
  const invoke = () => server.rotor.runs.invoke("double", { n: 1 }, { id: "once" });
  const [one, two] = await Promise.all([invoke(), invoke()]);
  expect(one).toEqual(two);
  expect(await invoke()).toEqual(one);
  expect((await runsOf("double")).filter(({ event }) => event.id === "once")).toHaveLength(1);
});

test("fails as the run does", async () => {
  const error = await server.rotor.runs.invoke(fails).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    name: "WorkflowFailedError",
    cause: { name: "TypeError", message: "no such customer" },
  });
});

test("when the wait is over the run goes on, and the next ask has its end", async () => {
  const waited = await server.rotor.runs
    .invoke(naps, {}, { id: "nap", timeout: "300ms" })
    .catch((thrown: unknown) => thrown);
  expect(waited).toMatchObject({ name: "WorkflowTimeoutError" });
  const run = await asleep("nap");
  const again = server.rotor.runs.invoke(naps, {}, { id: "nap" });
  await server.rotor.runs.skip(run.id, "nap");
  expect(await again).toEqual({ result: "rested", runId: run.id });
});

test("a run that is cancelled meanwhile is told as such", async () => {
  const invoked = server.rotor.runs.invoke(naps, {}, { id: "stopped" });
  const run = await asleep("stopped");
  await server.rotor.runs.cancel(run.id);
  await expect(invoked).rejects.toMatchObject({ name: "WorkflowCancelledError" });
});

test("where a singleton lets no other be unfinished, nothing is waited for", async () => {
  const { runId } = await server.rotor.runs.start(alone, {});
  await expect(server.rotor.runs.invoke(alone, {})).rejects.toMatchObject({
    name: "WorkflowSkippedError",
    message: expect.stringContaining(runId),
  });
});

test("a caller who leaves takes nothing with him", async () => {
  const leaving = new AbortController();
  const left = new Error("left");
  const invoked = server.rotor.runs.invoke(naps, {}, { id: "left", signal: leaving.signal });
  const run = await asleep("left");
  leaving.abort(left);
  await expect(invoked).rejects.toBe(left);
  await server.rotor.runs.skip(run.id, "nap");
  expect(await server.rotor.runs.result(run.id)).toBe("rested");
});

test("a wait that is no duration, or longer than a minute, starts nothing", async () => {
  const { length } = await runsOf("double");
  for (const wait of ["61s", "soon", 5]) {
    const response = await fetch(`${server.baseUrl}/v1/functions/double/runs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ data: { n: 1 }, wait }),
    });
    expect([response.status, ((await response.json()) as Answer).error.message]).toEqual([
      422,
      expect.stringMatching(/^wait: /),
    ]);
  }
  expect(await runsOf("double")).toHaveLength(length);
});

test("over HTTP the run comes with the answer", async () => {
  const response = await fetch(`${server.baseUrl}/v1/functions/double/runs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ data: { n: 4 }, wait: "30s" }),
  });
  const answer = (await response.json()) as Answer;
  expect(response.status).toBe(201);
  expect(answer).toMatchObject({ function: "double", state: "completed", duplicate: false });
  expect(answer.run).toMatchObject({ id: answer.run_id, state: "completed", output: { twice: 8 }, error: null });
});
