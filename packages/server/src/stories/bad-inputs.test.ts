/**
 * What is sent by mistake or by malice, over real HTTP at a server that asks for keys: each is told so with a documented
 * status and the envelope of errors, at once, and no row of any table is another one after it. The lists stand in
 * `testing-kit/bad-inputs/`. What may look bad and is taken as it is written stands at the end.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { type BadInput, bad, long } from "./testing-kit/bad-inputs/case.js";
import { enqueue } from "./testing-kit/bad-inputs/enqueue.js";
import { events, listed, people, schedules } from "./testing-kit/bad-inputs/rest.js";
import { callbackUrls, ownHeaders } from "./testing-kit/bad-inputs/urls.js";
import { type Asked, type Reply, type StrictServer, strictServer } from "./testing-kit/strict-server.js";

let server: StrictServer;

beforeAll(async () => {
  server = await strictServer();
  const { rotor } = server;
  await rotor.queues.create("q");
  await rotor.jobs.enqueue("q", { jobId: "first", payload: { keep: "me" }, tags: ["t"] });
  await rotor.secrets.set("STRIPE", "sk_live_never_shown");
});
afterAll(async () => {
  // What nobody expected is in the log, as is all that was answered with a 5xx.
  expect(errorsIn(server.logged())).toEqual([]);
  await server.close();
});

const errorsIn = (log: string): string[] => log.split("\n").filter((line) => /"level":(?:50|60)/.test(line));

/** Codes of errors that docs/ and `/doc` know. */
const CODES = /^[a-z_]{4,40}$/;

/** How a reply differs from a refusal as it should be; undefined where it does not. */
function wrongIn({ name, status = 422, says }: BadInput, { status: given, json, text, ms }: Reply): string | undefined {
  const wanted = [status].flat();
  // A checkpoint is answered run by run, a link with a page.
  const apart = /^a (?:checkpoint|link )/.test(name) && json?.error === undefined;
  const isEnvelope =
    typeof json?.error?.message === "string" && json.error.message !== "" && CODES.test(json.error.code ?? "");
  if (!wanted.includes(given) || !(isEnvelope || apart) || (says && !says.test(json.error.message)))
    return `${name}: ${given} ${text.slice(0, 200)}, not ${wanted.join(" or ")}`;
  // Of one alone: a machine that is busy with other tests.
  return ms > 5_000 ? `${name}: answered after ${Math.round(ms)} ms` : undefined;
}

/**
 * A server that refuses a body before it has read it may close the connection while its sender still sends, and then the
 * answer can be lost with it. Who is told nothing asks again.
 */
async function sent(asked: BadInput): Promise<Reply> {
  for (let tries = 1; ; tries++) {
    const reply = await server.ask(asked).catch((error: Error) => error);
    if (!(reply instanceof Error)) return reply;
    if (asked.status !== 413 || tries === 5) throw new Error(`${asked.name}: ${reply.message}`);
  }
}

/** Sends all of them, eight at a time, and compares what is stored before and after. */
async function refuses(cases: readonly BadInput[]): Promise<void> {
  const before = await server.everything();
  const wrong: string[] = [];
  const todo = [...cases];
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let next = todo.shift(); next !== undefined; next = todo.shift())
        wrong.push(...[wrongIn(next, await sent(next))].filter((each) => each !== undefined));
    }),
  );
  // Each a tenth of a second at the most.
  expect((performance.now() - begun) / cases.length).toBeLessThan(100);
  expect(wrong).toEqual([]);
  const after = await server.everything();
  expect(after.filter((row) => !before.includes(row))).toEqual([]);
  expect(before.filter((row) => !after.includes(row))).toEqual([]);
}

describe("refused, and nothing is written", () => {
  test("jobs", () => refuses(enqueue));
  test("URLs, at each door", () => refuses(callbackUrls));
  test("headers and secrets", () => refuses(ownHeaders));
  test("events, expressions, signals, capabilities", () => refuses(events));
  test("schedules", () => refuses(schedules));
  test("queries of lists", () => refuses(listed));
  test("keys, workspaces, approvals, logins", () => refuses(people));

  test("whoever is not let in", async () => {
    const { keyOf, key } = server;
    const expired = await keyOf("default", undefined, new Date(Date.now() + 60));
    const revoked = await keyOf("default");
    const [row] = (await server.db.script("select id from rotor.api_keys order by created_at desc limit 1")).rows;
    await server.db.script(`update rotor.api_keys set revoked_at = rotor.clock() where id = '${row.id}'`);
    await new Promise((resolve) => setTimeout(resolve, 80));
    const JOBS = "/v1/queues/q/jobs";
    const as = (name: string, headers: Asked["headers"], given: string | null = null): BadInput[] => [
      bad(`${name}, to read`, JOBS, undefined, 401, { key: given, ...(headers && { headers }) }),
      bad(`${name}, to write`, JOBS, { payload: 1 }, 401, { key: given, ...(headers && { headers }) }),
      bad(`${name}, to delete`, "/v1/queues/q", undefined, 401, {
        method: "DELETE",
        key: given,
        ...(headers && { headers }),
      }),
    ];
    await refuses([
      ...as("without a header", {}),
      ...as("with an empty one", { authorization: "" }),
      ...as("with the scheme alone", { authorization: "Bearer" }),
      ...as("with another scheme", { authorization: `Basic ${Buffer.from(`key:${key}`).toString("base64")}` }),
      ...as("with two keys", { authorization: [`Bearer ${key}`, `Bearer ${key}`] }),
      ...as("with two keys in one", { authorization: `Bearer ${key}, Bearer ${key}` }),
      ...as("with a character too many", {}, `${key}x`),
      ...as("with one too few", {}, key.slice(0, -1)),
      ...as("with a space inside", {}, `${key.slice(0, 20)} ${key.slice(20)}`),
      ...as("with the right beginning", {}, `${key.slice(0, -10)}${long(10)}`),
      ...as("in upper case", {}, key.toUpperCase()),
      ...as("for another workspace's name", {}, key.replace("_default_", "_other_")),
      ...as("with an expired key", {}, expired),
      ...as("with a revoked key", {}, revoked),
      ...as("with a megabyte of key", {}, long(12_000)),
      ...as("that says it is local", {
        "x-forwarded-for": "127.0.0.1",
        forwarded: "for=127.0.0.1",
        host: `127.0.0.1:${server.port}`,
      }),
      ...as("that names a workspace", { "x-workspace-id": "default", "x-rotor-workspace": "default" }),
      ...as("with a cookie that nobody gave", { cookie: `rotor_session=${long(43)}` }),
      ...as("with the key in another place", { "x-api-key": key, cookie: `key=${key}` }),
    ]);
  });

  test("a key of another workspace, whatever it says of itself", async () => {
    const other = await server.keyOf("other");
    const asked = { key: other, headers: { "x-workspace-id": "default" } };
    const ours = { key: other, headers: { "x-rotor-workspace": "default" } };
    await refuses([
      bad("a job", "/v1/queues/q/jobs", { payload: 1 }, 404, asked),
      bad("a job, in a header of ours", "/v1/queues/q/jobs", { payload: 1 }, 422, ours),
      bad("its list", "/v1/queues/q/jobs", undefined, 404, asked),
      bad("a key in the path", "/v1/queues/q/jobs?workspace=default", undefined, 422, asked),
    ]);
  });

  test("another method in a header or in the query is no other method", async () => {
    const before = await server.everything();
    for (const name of ["x-http-method-override", "x-method-override", "x-http-method"]) {
      const { status } = await server.ask({ path: "/v1/queues/q", headers: { [name]: "DELETE" } });
      expect([name, status]).toEqual([name, 200]);
    }
    expect((await server.ask({ path: "/v1/queues/q?_method=DELETE" })).status).toBe(200);
    expect(await server.everything()).toEqual(before);
  });
});

describe("taken as it is written", () => {
  const enqueued = async (
    body: string,
  ): Promise<{ id: string; payload: string; json: ReturnType<typeof JSON.parse> }> => {
    const { status, json, text } = await server.ask({ path: "/v1/queues/q/jobs", body });
    expect([text, status]).toEqual([text, 201]);
    const { rows } = await server.db.script(
      `select convert_from(body, 'utf8') as body from rotor.payloads where job_id = '${json.id}'`,
    );
    return { id: json.id, payload: rows[0].body, json };
  };

  test.each([
    ["names of JavaScript's own", '{"__proto__":{"a":1},"constructor":{"prototype":{"b":2}},"toString":"x"}'],
    ["a number of 100,000 digits", long(100_000, "7")],
    ["numbers that no double holds", "[1e400,-0,12345678901234567890.000100]"],
    ["64 levels, the envelope among them", `${long(63, "[")}${long(63, "]")}`],
    [
      "templates, nested, split and escaped",
      '["$T secrets.STRIPE }}","$T $T secrets.STRIPE }} }}","$","{{ secrets.STRIPE }}","\\u0024{{ secrets.STRIPE }}"]'.replaceAll(
        "$T",
        "$" + "{{",
      ),
    ],
    ["markup", '["<script>alert(1)</script>","\\"><img src=x onerror=alert(1)>","{{7*7}}","javascript:alert(1)"]'],
    ["text that turns around, and piles up", `["\u202egpj.exe","Z${long(50, "\u0301")}"]`],
  ])("a payload of %s", async (_, payload) => {
    expect((await enqueued(`{"payload":${payload}}`)).payload).toBe(payload);
    expect(({} as Record<string, unknown>).a).toBeUndefined();
  });

  test("a payload of just below and just at the limit", async () => {
    for (const bytes of [limits.bodyBytes - 1, limits.bodyBytes])
      expect((await enqueued(`{"payload":"${long(bytes - 14)}"}`)).payload).toHaveLength(bytes - 12);
  });

  test.each(["../../x", "😀", "a/b?c#d", "%00", "' or 1=1--", "<b>", "my-job"])("the id %j", async (jobId) => {
    const { id } = await enqueued(JSON.stringify({ payload: 1, job_id: jobId }));
    const { json } = await server.ask({ path: `/v1/queues/q/jobs/${encodeURIComponent(jobId)}` });
    expect([json.id, json.job_id]).toEqual([id, jobId]);
  });

  test("two ids that look the same are two", async () => {
    const [composed, decomposed] = ["\u00e9", "e\u0301"];
    const ids = [];
    for (const jobId of [composed, decomposed])
      ids.push((await enqueued(JSON.stringify({ payload: 1, job_id: jobId }))).id);
    expect(new Set(ids).size).toBe(2);
  });

  test("another workspace's id is an id of one's own", async () => {
    const key = await server.keyOf("other");
    await server.ask({ path: "/v1/queues", body: { name: "q" }, key });
    const { json } = await server.ask({ path: "/v1/queues/q/jobs", body: { payload: 2, job_id: "first" }, key });
    expect(json.duplicate).toBe(false);
    expect((await server.rotor.jobs.get("q", "first")).payload).toEqual({ keep: "me" });
  });

  test("tags of any letters", async () => {
    const tags = ["%00", "<script>", "=HYPERLINK(1)", "😀", "' or 1=1--"];
    const { json } = await enqueued(JSON.stringify({ payload: 1, tags }));
    for (const tag of tags) {
      const found = await server.ask({ path: `/v1/queues/q/jobs?tag=${encodeURIComponent(tag)}` });
      expect(found.json.data.map((job: { id: string }) => job.id)).toEqual([json.id]);
    }
  });

  test("whatever stands in it, an answer is JSON that no browser makes a page of", async () => {
    const { headers, text } = await server.ask({ path: "/v1/queues/q/jobs?limit=100" });
    expect(text).toContain("<script>");
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "cache-control": "no-store",
    });
  });

  test.each(["0 0 L * *", "0 0 15W * *", "0 9 * * MON#1", "0 9 * JAN MON", "*/7 * * * *"])(
    "the cron %s",
    async (cron) => {
      const name = `c-${cron.replaceAll(/\W/g, "")}`;
      const { status, text, json } = await server.ask({
        path: "/v1/schedules",
        body: { name, queue: "q", cron, timezone: "Europe/Stockholm" },
      });
      expect([text, status]).toEqual([text, 201]);
      expect(json.next_fires).toHaveLength(5);
      await server.rotor.schedules.delete(name);
    },
  );
});
