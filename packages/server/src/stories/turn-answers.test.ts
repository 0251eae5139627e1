/**
 * What an app may say that it should not: broken, or somebody else's by now, but with the right key. It costs its own run an
 * attempt, or a step its success; nothing hangs, nothing is logged as a fault of ours, and no other run or workspace notices.
 * What is told by an answer is told by a checkpoint, too. Without the right key: `limits.test.ts`.
 */
import { answerContext, manifestContext } from "@rotorsh/sdk/protocol";
import { signAnswer } from "@rotorsh/sdk/signature";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../testing-kit/server.js";
import { long } from "./testing-kit/bad-inputs/case.js";
import { expressions } from "./testing-kit/bad-inputs/rest.js";
import { type StrictServer, strictServer } from "./testing-kit/strict-server.js";

const say = (rest: string): string => `{"version":1,"hash":"h",${rest}}`;
const DONE = say('"status":"completed","output":"done"');
const yields = (reports: string): string => say(`"status":"yield","reports":[${reports}]`);
const nested = (depth: number, inside = "1"): string => `${long(depth, "[")}${inside}${long(depth, "]")}`;
const many = (count: number, one: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => one(n)).join();
const ran = (key: string, output: string, duration = "1"): string =>
  `{"kind":"run","key":"${key}","attempt":1,"duration_ms":${duration},"outcome":"completed","output":${output}}`;
const failing = (error: string, more = '"retriable":false'): string =>
  say(`"status":"failed","error":${error},${more}`);
const causes = (depth: number): string =>
  `${long(depth, '{"name":"E","message":"m","cause":')}{"name":"E","message":"m"}${long(depth, "}")}`;
const sleeps = (how: string): string => `{"kind":"sleep","key":"s",${how}}`;
const waits = (more: string): string => `{"kind":"event","key":"e","event":"x","timeout_ms":60000${more}}`;
const sends = (event: string): string => `{"kind":"send","key":"e","events":[${event}]}`;
const enqueues = (options: string, payload = "1", queue = "q"): string =>
  `{"kind":"enqueue","key":"q","queue":"${queue}","payload":${payload},"options":{${options}},"wait":false}`;

/** Reports that no run may make, by whichever door: nothing of them is stored. */
const REPORTS: Readonly<Record<string, string>> = {
  "of a kind that there is not": '{"kind":"exec","key":"a","command":"id"}',
  "of a sleep of -1": sleeps('"delay_ms":-1'),
  "of a sleep of a billion days": sleeps('"delay_ms":86400000000000000'),
  "of a sleep of nothing": sleeps('"delay_ms":null'),
  "of a sleep in words": sleeps('"delay_ms":"24h "'),
  "of a sleep until the year 300,000": sleeps('"until_ms":1e16'),
  "of 10,000 steps": many(10_000, (n) => ran(`s${n}`, "1")),
  "of 1,001 waits": many(1_001, (n) => `{"kind":"signal","key":"k${n}","signal":"s${n}","timeout_ms":1000}`),
  "of a result as deep as 100,000": ran("a", nested(100_000)),
  "under a key with NUL": ran("a\\u0000", "1"),
  "under a key with half of a surrogate pair": ran("a\\ud800", "1"),
  "under a key of 10 kB": ran(long(10_000), "1"),
  "under no key": ran("", "1"),
  "of a step that took 1e308 ms": ran("a", "1", "1e308"),
  "of a step that took -1 ms": ran("a", "1", "-1"),
  "of an event of ours": sends('{"name":"rotor/run.failed","data":1}'),
  "of an event with an id of ours": sends('{"name":"a","data":1,"id":"rotor:step:x/y/0"}'),
  "of an event with NUL in its name": sends('{"name":"a\\u0000","data":1}'),
  "of an event with NUL in its data": sends('{"name":"a","data":{"b":["\\u0000"]}}'),
  "of an event with half of a surrogate pair in its data": sends('{"name":"a","data":"\\ud800"}'),
  "of an event with NUL in a tag": sends('{"name":"a","data":1,"tags":["\\u0000"]}'),
  "of 1,001 events": sends(many(1_001, () => '{"name":"a","data":1}')),
  "of a job with NUL in a tag": enqueues('"tags":["\\u0000"]'),
  "of a job with NUL in its id": enqueues('"job_id":"\\u0000"'),
  "of a job with an id of ours": enqueues('"job_id":"rotor:tick:1/2"'),
  "of a job with NUL in its concurrency key": enqueues('"concurrency_key":"\\u0000"'),
  "of a job with NUL in its payload": enqueues("", '"\\u0000"'),
  "of a job of a priority of 1,000": enqueues('"priority":1000'),
  "of a job of a billion attempts": enqueues('"max_attempts":1000000000'),
  "of a child with NUL in its data": '{"kind":"invoke","key":"i","function":"good","data":"\\u0000","timeout_ms":1000}',
  "of a wait with a look back of -1": waits(',"since_ms":-1'),
  "of a wait for NUL": waits(',"match":{"a":"\\u0000"}'),
  "of a wait at NUL": waits(',"match":{"a\\u0000":1}'),
  "of a wait for an object within an object": waits(',"match":{"a":{"b":1}}'),
  "of a wait by an expression with NUL": waits(',"match":"data.a == \'\\u0000\'"'),
  "of a wait for 21 things": `{"kind":"any","key":"e","timeout_ms":1000,"parts":[${many(21, (n) => `{"name":"p${n}","event":"a"}`)}]}`,
};

/** Answers that are none. */
const ANSWERS: Readonly<Record<string, string>> = {
  "in another version": '{"version":99,"hash":"h","status":"completed","output":1}',
  "that is a page": "<html>",
  "that is nothing": "",
  "that is two": `${DONE}${DONE}`,
  "of a status that there is not": say('"status":"done","output":1'),
  "of a status that nobody asked for": say('"status":"checked","next":[]'),
  "with an output as deep as 300,000": say(`"status":"completed","output":${nested(300_000)}`),
  "that is as deep as 300,000": nested(300_000),
  "that does not end": long(300_000, "["),
  "with 1,000 causes in each other": failing(causes(1_000)),
  "with 100,000 causes in each other": failing(causes(100_000)),
  "with NUL in its hash": '{"version":1,"hash":"\\u0000","status":"completed","output":1}',
  "that has seen what is past all numbers": say('"status":"yield","reports":[],"known_seq":1e308'),
  "that asks to wait for -1 ms": failing('{"name":"E","message":"m"}', '"retriable":true,"retry_after_ms":-1'),
  ...Object.fromEntries(Object.entries(REPORTS).map(([name, reports]) => [name, yields(reports)])),
};

/** Reports that fail their step, and by which error; the run goes on. */
const STEPS: Readonly<Record<string, readonly [error: string, report: string]>> = {
  "a child of another workspace": [
    "NotFoundError",
    '{"kind":"invoke","key":"i","function":"theirs","data":1,"timeout_ms":1000}',
  ],
  "a queue of another workspace": ["NotFoundError", enqueues("", "1", "theirs")],
  "a queue of another workspace, which it names": [
    "NotFoundError",
    enqueues('"workspace":"other"', "1", "theirs").replace('"kind"', '"workspace":"other","kind"'),
  ],
  "a function as a queue": ["NotFoundError", enqueues("", "1", "good")],
  "a queue of ours": ["NotFoundError", enqueues("", "1", "rotor/inbox")],
  "two waits for one signal": [
    "SignalTakenError",
    many(2, (n) => `{"kind":"signal","key":"k${n}","signal":"one","timeout_ms":60000}`),
  ],
  "an event of the year 9999": ["EventTooFarError", sends('{"name":"a","data":1,"ts":253402300799999}')],
  ...Object.fromEntries(
    expressions
      .filter((each) => !each.includes("\0"))
      .map((each) => [
        `the expression ${each.slice(0, 30)}`,
        ["InvalidMatchError", waits(`,"match":${JSON.stringify(each.replaceAll("payload", "data"))}`)] as const,
      ]),
  ),
};

/** What is odd, and harms nobody: each run completes. */
const FINE: Readonly<Record<string, string>> = {
  "two results for one step, of which the first counts": yields(`${ran("a", '"first"')},${ran("a", '"second"')}`),
  "a result for a step that nobody asked for": yields(ran("unasked", "1")),
  "a step called __proto__": yields(ran("__proto__", '{"__proto__":{"a":1},"constructor":1}')),
  "a result with NUL in it": yields(ran("a", '"\\u0000"')),
  "an output with NUL in it": say('"status":"completed","output":"\\u0000\\ud800"'),
  "1,000 results": yields(many(1_000, (n) => ran(`s${n}`, "1"))),
  "a step that failed with a stack of 5 MB": yields(
    `{"kind":"run","key":"a","attempt":1,"duration_ms":1,"outcome":"failed","error":{"name":"E","message":"m","stack":"${long(5_000_000)}"}}`,
  ),
};

/** What the database says of what a test makes it refuse. */
const UNFORESEEN = "nobody foresaw this";

let server: StrictServer;
let app: string;
/** What the app answers to the first delivery of a run, by the run's data; and what it tells in a checkpoint before. */
const answers: string[] = [];
const told: (string | undefined)[] = [];
const verdicts = new Map<number, string>();
const deliveries = new Map<string, number>();

beforeAll(async () => {
  server = await strictServer();
  const sign = (text: string, context: string): string =>
    signAnswer(text, context, server.signingKey, Math.floor(Date.now() / 1_000));
  const listOf = (...ids: string[]): string =>
    JSON.stringify({
      ...{ version: 1, app: "default", sdk: "test", hash: "h", dev: false },
      functions: ids.map((id) => ({ id, triggers: [], max_attempts: 1, concurrency: 1_000 })),
    });
  app = await server.serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.method === "GET")
      return void response.end(sign(listOf("odd", "good"), manifestContext(String(request.headers["x-rotor-nonce"]))));
    const { run, delivery, event, checkpoint } = JSON.parse(body);
    const count = (deliveries.get(run) ?? 0) + 1;
    deliveries.set(run, count);
    const n: unknown = event.data;
    const isOdd = count === 1 && typeof n === "number";
    if (isOdd && told[n] !== undefined) {
      const { json } = await server.ask({
        path: new URL(checkpoint.url).pathname,
        body: `{"version":1,"runs":[{"token":"${checkpoint.token}","reports":[${told[n]}],"known_seq":0}]}`,
        key: null,
      });
      verdicts.set(n, json.runs?.[0].verdict ?? json.error.code);
    }
    response.end(sign(isOdd ? answers[n]! : DONE, answerContext(run, delivery)));
  });
  const { rotor } = server;
  await rotor.functions.sync({ url: `${app}/api/rotor` });
  await rotor.queues.create("q");
  const key = await server.keyOf("other");
  await server.ask({ path: "/v1/queues", body: { name: "theirs" }, key });
});
afterAll(async () => {
  expect(
    server
      .logged()
      .split("\n")
      .filter((line) => /"level":[56]0/.test(line) && !line.includes(UNFORESEEN)),
  ).toEqual([]);
  await server.close();
});

/** The ends of runs whose app answers so, each beside a good run. */
async function endsOf(all: readonly string[], before: readonly string[] = []) {
  const runs: string[] = [];
  for (const [index, answer] of all.entries()) {
    told[answers.length] = before[index];
    const { runId } = await server.rotor.runs.start("odd", answers.push(answer) - 1);
    runs.push(runId);
  }
  const good = (await server.rotor.runs.start("good", {})).runId;
  const ended = async (run: string) =>
    eventually(`the end of ${run}`, async () => {
      const found = await server.rotor.runs.get(run);
      return found.finishedAt !== null && found;
    });
  expect((await ended(good)).output).toBe("done");
  return Promise.all(runs.map(ended));
}

test("an answer that is none is an attempt that failed, and nothing of it is stored", async () => {
  const names = Object.keys(ANSWERS);
  const ends = await endsOf(
    Object.values(ANSWERS),
    names.map((name) => REPORTS[name]!),
  );
  const before = answers.length - names.length;
  for (const [index, { state, error, steps }] of ends.entries()) {
    const name = names[index]!;
    expect([name, state, error?.name, steps]).toEqual([name, "failed", "InvalidAnswerError", []]);
    expect(error!.message.length).toBeLessThan(500);
    // Of what a whole request cannot be, the request is refused.
    if (name in REPORTS)
      expect([name, verdicts.get(before + index)]).toEqual([
        name,
        name.includes("deep") ? "payload_not_storable" : "invalid",
      ]);
  }
});

test("a step that cannot be fails, and its run goes on", async () => {
  const names = Object.keys(STEPS);
  const ends = await endsOf(Object.values(STEPS).map(([, report]) => yields(report)));
  for (const [index, { state, steps }] of ends.entries()) {
    const name = names[index]!;
    const errors = steps!.map(({ error }) => error?.name).filter((each) => each !== undefined);
    expect([name, state, errors]).toEqual([name, "completed", [STEPS[name]![0]]]);
  }
  const { json } = await server.ask({ path: "/v1/queues/theirs/jobs", key: await server.keyOf("other") });
  expect(json.data).toEqual([]);
});

test("what is odd and harms nobody is taken", async () => {
  const names = Object.keys(FINE);
  const ends = await endsOf(Object.values(FINE));
  for (const [index, { state }] of ends.entries()) expect([names[index], state]).toEqual([names[index], "completed"]);
  expect(ends[0]!.steps).toMatchObject([{ key: "a", output: "first" }]);
  expect(({} as { a?: number }).a).toBeUndefined();
});

test("an answer that nobody foresaw, which cannot be written down, fails its attempt", async () => {
  // A row that the database refuses, as it would refuse what the checks of answers forgot.
  await server.db.script(
    `create function rotor.refuse() returns trigger language plpgsql as
       'begin raise exception ''${UNFORESEEN}'' using errcode = ''22023''; end';
     create trigger refuse before insert on rotor.steps for each row when (new.key = 'unforeseen') execute function rotor.refuse()`,
  );
  const [run] = await endsOf([yields(ran("unforeseen", "1"))]);
  await server.db.script("drop trigger refuse on rotor.steps; drop function rotor.refuse()");
  expect(run).toMatchObject({
    state: "failed",
    error: { name: "InvalidAnswerError", message: `The answer cannot be stored: ${UNFORESEEN}` },
    steps: [],
  });
  // Of this one a line tells, for whoever mends the checks.
  expect(server.logged()).toContain(UNFORESEEN);
});
