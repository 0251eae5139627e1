/**
 * Another workspace's things are not there, on whatever route and by whatever name they are asked for. Made from the
 * document of the API: a new route is tried like all others, or fails here until `testing-kit/tenancy-table.ts` knows how.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { manifestOf, type Send } from "./testing-kit/api.js";
import { CALLBACK, type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";
import { apart, type Foreign, PLAIN, type Way, ways } from "./testing-kit/tenancy-table.js";

type Operation = {
  readonly method: string;
  readonly path: string;
  /** Undefined: open, or by capability. */
  readonly scope: string | undefined;
  /** Of queries and of the first level of bodies. */
  readonly words: readonly string[];
};

/** Stands in whatever is worth keeping from others. */
const MARK = "only-of-default";
/** A queue that was deleted; nobody but its workspace's audit knows of it. */
const GONE = "once-of-default";

let kit: ClientApi;
let other: Send;
let reader: Send;
let operations: Operation[];
let foreign: Foreign;

beforeAll(async () => {
  kit = await clientApi();
  operations = await operationsOf(kit);
  foreign = await fill(kit);
  other = await kit.api.as("other", ["read", "write", "approve", "admin"]);
  reader = await kit.api.as("default", ["read"]);
  // Names of the caller's own beside the other's ids.
  await other("PUT", "/v1/queues/own", {});
});
afterAll(async () => {
  expect(kit.api.logged).toEqual([]);
  await kit.api.close();
});

/** The routes, as `/doc` describes them. */
async function operationsOf({ api }: ClientApi): Promise<Operation[]> {
  type Schema = { $ref?: string; properties?: object };
  const document: {
    paths: Record<string, Record<string, object>>;
    components: { schemas: Record<string, Schema> };
  } = (await api.anonymous("GET", "/doc")).json;
  const propertiesOf = ({ $ref, properties = {} }: Schema): string[] =>
    $ref === undefined ? Object.keys(properties) : propertiesOf(document.components.schemas[$ref.split("/").at(-1)!]!);
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const { security, parameters, requestBody } = operation as {
        security: { key: [string] }[];
        parameters?: { in: string; name: string }[];
        requestBody?: { content: Record<string, { schema: Schema }> };
      };
      const body = requestBody?.content["application/json"]?.schema ?? {};
      const queries = (parameters ?? []).filter((each) => each.in === "query").map((each) => each.name);
      return {
        method: method.toUpperCase(),
        path,
        scope: security[0]?.key[0],
        words: [...queries, ...propertiesOf(body)],
      };
    }),
  );
}

/** One of everything in the workspace `default`. */
async function fill({ api, rotor, send, claimed }: ClientApi): Promise<Foreign> {
  const payload = { text: MARK };
  const tags = [MARK];
  await rotor.secrets.set("TOKEN", `${MARK}-secret`);
  await rotor.queues.put("mine", { callbackUrl: CALLBACK, headers: { "x-mark": MARK } });
  await rotor.queues.put("asked", { approvalRequired: true });
  await rotor.queues.put(GONE, {});
  await rotor.queues.delete(GONE);
  await send("POST", "/v1/keys/rotate-signing", { queue: "mine" });
  await rotor.schedules.create("tick", { queue: "mine", cron: "@daily", timezone: "UTC", payload });
  await send("POST", "/v1/webhooks", { name: "hook", url: CALLBACK, types: ["job.failed"] });
  await rotor.jobs.enqueue("mine", { jobId: "failing", payload, tags });
  const [failing] = await claimed("callback", "mine");
  await api.anonymous("POST", `/v1/jobs/${failing!.jobId}/fail?token=${tokenOf(failing!, "complete")}`, {
    error: { name: "HttpError", message: MARK },
    retriable: false,
  });
  const job = await rotor.jobs.enqueue("mine", { jobId: "my-job", payload, tags });
  await send("POST", "/v1/queues/mine/jobs", { payload, concurrency_key: "shared" });
  const asked = await rotor.jobs.enqueue("asked", { payload });
  const { runId } = await rotor.runs.start("plain", payload, { id: "my-run" });
  const [run] = await claimed("function", "plain");
  await api.anonymous("POST", "/v1/checkpoints", {
    version: 1,
    runs: [
      {
        token: tokenOf(run!),
        reports: [
          { kind: "signal", key: "w", signal: "my-signal", timeout_ms: 60_000 },
          { kind: "event", key: "e", event: "awaited", timeout_ms: 60_000 },
          {
            kind: "any",
            key: "a",
            parts: [
              { name: "event", event: "awaited" },
              { name: "signal", signal: "my-part" },
            ],
            timeout_ms: 60_000,
          },
        ],
        known_seq: 0,
      },
    ],
  });
  await rotor.signals.complete("my-early", payload, { bufferFor: "1h" });
  await rotor.send({ name: "something", id: "my-event", data: payload, tags });
  const key = await rotor.keys.create({ name: MARK });
  const eventId: string = (await send("GET", "/v1/events")).json.data[0].id;
  return {
    queues: ["mine", "asked"],
    jobs: [job.id, "my-job", asked.id],
    failed: [failing!.jobId],
    schedules: ["tick"],
    functions: ["plain", "outreach"],
    runs: [runId, "my-run"],
    events: ["my-event", eventId],
    eventNames: ["awaited", "something", "contact.added"],
    signals: ["my-signal", "my-part", "my-early"],
    keys: [key.id],
    concurrencyKeys: ["shared"],
    secrets: ["TOKEN"],
    webhooks: ["hook"],
    tags,
    workspaces: ["default"],
  };
}

/** Everything that is the workspace's, table by table. */
async function everything(): Promise<string> {
  const { db, schema } = kit.api.database;
  const columns = await db.script(
    `select table_name as "table", array_agg(column_name::text) as columns from information_schema.columns
      where table_schema = '${schema}' group by 1 order by 1`,
  );
  const texts: string[] = [];
  for (const { table, columns: names } of columns.rows as { table: string; columns: string[] }[]) {
    if (["migrations", "settings", "nodes", "sweeps"].includes(table)) continue;
    const queues = "(select id from rotor.queues where workspace_id = 'default')";
    const which = names.includes("workspace_id")
      ? "workspace_id = 'default'"
      : table === "workspaces"
        ? "id = 'default'"
        : names.includes("queue_id")
          ? `queue_id in ${queues}`
          : names.includes("job_id")
            ? `job_id in (select id from rotor.jobs where queue_id in ${queues})`
            : undefined;
    expect(which, `${table} is of no workspace: say here how to find what is of one`).toBeDefined();
    const { rows } = await db.script(`select each::text as row from rotor.${table} each where ${which} order by 1`);
    texts.push(`${table}:`, ...rows.map(({ row }) => row));
  }
  return texts.join("\n");
}

const nameOf = ({ method, path }: Operation): string => `${method} ${path}`;

/** A path with whatever could stand in it: all of the other's names and ids; of two parameters, the first a queue's. */
function pathsOf(path: string): string[] {
  const all = [...new Set(Object.values(foreign).flat())].map(encodeURIComponent);
  const [first, ...others] = path.match(/\{\w+\}/g) ?? [];
  if (first === undefined) return [path];
  const firsts = others.length === 0 ? all : [...foreign.queues, "own"];
  return firsts.flatMap((value) => {
    const next = path.replace(first, value);
    return others.length === 0 ? [next] : all.map((each) => next.replace(others[0]!, each));
  });
}

const defaultBodies = (method: string): unknown[] => (method === "GET" || method === "DELETE" ? [undefined] : [{}]);

describe("every route", () => {
  test("is in the table, and so is every word by which it may name something", () => {
    const missing: string[] = [];
    for (const operation of operations.filter((each) => !apart.has(nameOf(each)) && each.scope !== "workspaces")) {
      const way: Way | undefined = ways[nameOf(operation)];
      if (way === undefined) {
        missing.push(`${nameOf(operation)}: add a line for it to \`ways\` in testing-kit/tenancy-table.ts`);
        continue;
      }
      const given = JSON.stringify([way.bodies?.(foreign), way.queries?.(foreign)]);
      for (const word of operation.words.filter((each) => !PLAIN.has(each))) {
        if (!given.includes(`"${word}":`) && !given.includes(`?${word}=`))
          missing.push(
            `${nameOf(operation)}: give "${word}" a name of the other's in its line of testing-kit/tenancy-table.ts, or add the word to \`PLAIN\` if it names nothing`,
          );
      }
    }
    expect(missing).toEqual([]);
  });

  // Thousands of requests: some ten seconds on a machine that has nothing else to do.
  test("is asked for all that is another workspace's, finds nothing, tells nothing and changes nothing", {
    timeout: 120_000,
  }, async () => {
    const before = await everything();
    expect(before).toContain(MARK);
    let asked = 0;
    const wrong: string[] = [];
    // What makes a thing of the caller's own by that name comes last, or it would be found after.
    const isOwn = (each: Operation): boolean => ways[nameOf(each)]!.answer === "own";
    for (const operation of [...known().filter((each) => !isOwn(each)), ...known().filter(isOwn)]) {
      // Some at a time: there are thousands.
      const calls = [...callsOf(operation)];
      while (calls.length > 0)
        await Promise.all(
          calls.splice(0, 12).map(async ({ method, address, body }) => {
            asked++;
            const { status, json, text } = await other(method, address, body);
            const call = `${method} ${address} ${JSON.stringify(body) ?? ""}`;
            const wanted = ways[nameOf(operation)]!.answer ?? (operation.path.includes("{") ? 404 : "what?");
            const isWanted =
              wanted === "nothing"
                ? status === 200 && isNothing(json)
                : wanted === "own"
                  ? isFine(status)
                  : status === wanted;
            // It may repeat what it was asked, and that is all it knows.
            const tells = text.includes(GONE) || (!call.includes(MARK) && !isOwn(operation) && text.includes(MARK));
            if (!isWanted || tells) wrong.push(`${call} → ${status} ${text.slice(0, 300)}, not ${wanted}`);
          }),
        );
    }
    expect(wrong).toEqual([]);
    expect(asked).toBeGreaterThan(1_000);
    expect(await everything()).toBe(before);
  });

  test("of one's own things changes nothing of another's that have the same names", { timeout: 120_000 }, async () => {
    const before = await everything();
    // The test before has made queues, functions, secrets and webhooks by the other's names.
    expect((await other("GET", "/v1/queues/mine")).status).toBe(200);
    const isLast = ({ method }: Operation): boolean => method === "DELETE";
    const changing = known().filter(({ method }) => method !== "GET");
    for (const operation of [...changing.filter((each) => !isLast(each)), ...changing.filter(isLast)]) {
      const addresses = new Set<string>();
      for (const { method, address, body } of callsOf(operation)) {
        // One body an address does.
        if (!SHARED.test(address) || addresses.size === addresses.add(address).size) continue;
        const { status, text } = await other(method, address, body);
        expect(status, `${method} ${address}: ${text}`).toBeLessThan(500);
      }
      // Not at the end: what pauses is followed by what resumes.
      expect(await everything(), nameOf(operation)).toBe(before);
    }
  });

  test("that changes something is refused to a key that may only read, whatever is asked", async () => {
    const before = await everything();
    for (const operation of operations.filter((each) => each.scope !== undefined && each.scope !== "read")) {
      const { method, path } = operation;
      const [body] = (ways[nameOf(operation)]?.bodies ?? (() => defaultBodies(method)))(foreign);
      for (const each of pathsOf(path)) {
        const { status, json } = await reader(method, each, body);
        expect([method, each, status, json.error.code]).toEqual([method, each, 403, "forbidden"]);
      }
    }
    expect(await everything()).toBe(before);
  });

  test("of workspaces is closed to a key that administers only its own", async () => {
    const closed = operations.filter((each) => each.scope === "workspaces");
    expect(closed.length).toBeGreaterThanOrEqual(3);
    for (const { method, path } of closed) {
      for (const each of pathsOf(path)) expect((await other(method, each, defaultBodies(method)[0])).status).toBe(403);
    }
  });
});

/** Addresses of things that both workspaces have by then. */
const SHARED = /^[^{]*?\/(?:mine|asked|tick|plain|shared|TOKEN|hook)(?:\/|$)|^\/v1\/[a-z-]+$/;

const known = (): Operation[] => operations.filter((each) => ways[nameOf(each)] !== undefined);

/** All that is asked of a route. */
function* callsOf(operation: Operation): Generator<{ method: string; address: string; body: unknown }> {
  const { method, path } = operation;
  const { bodies = () => defaultBodies(method), queries = () => [""] } = ways[nameOf(operation)]!;
  for (const each of pathsOf(path))
    for (const query of queries(foreign))
      for (const body of bodies(foreign)) yield { method, address: `${each}${query}`, body };
}

/** Done, or refused for a reason of the caller's own. */
const isFine = (status: number): boolean => status < 300 || [404, 409, 422, 424].includes(status);

/** An empty list, or a count of nothing. */
const isNothing = (json: { data?: unknown[]; [count: string]: unknown } | undefined): boolean =>
  json !== undefined &&
  (json.data === undefined
    ? Object.values(json).every((value) => typeof value !== "number" || value === 0)
    : json.data.length === 0);

test("an unknown thing and another workspace's are the same but for the id", async () => {
  const answer = async (id: string) => (await other("GET", `/v1/runs/${id}`)).text.replaceAll(id, "ID");
  expect(await answer(foreign.runs[0]!)).toBe(await answer(newId()));
});

describe("a run's capability", () => {
  test("reaches nothing of another workspace: no function, no queue, no wait", async () => {
    kit.api.apps.set("http://127.0.0.1:9999/other", manifestOf("theirs", [{ id: "theirs" }]));
    expect((await other("POST", "/v1/functions/sync", { url: "http://127.0.0.1:9999/other" })).status).toBe(200);
    const { id } = (await other("POST", "/v1/functions/theirs/runs", { data: 1 })).json as { id?: string };
    const [run] = await kit.claimed("function", "theirs", "other");
    expect([undefined, run!.jobId]).toContain(id);
    const before = await everything();
    const report = async (report: object) =>
      (
        await kit.api.anonymous("POST", "/v1/checkpoints", {
          version: 1,
          runs: [{ token: tokenOf(run!), reports: [report], known_seq: 0 }],
        })
      ).text;
    const told = [
      await report({ kind: "invoke", key: "i", function: "plain", data: 1, timeout_ms: 60_000 }),
      await report({ kind: "enqueue", key: "q", queue: "mine", payload: 1, options: {}, wait: false }),
      await report({
        kind: "send",
        key: "s",
        events: [
          { name: "awaited", data: 1 },
          { name: "contact.added", data: 1 },
        ],
      }),
      await report({ kind: "signal", key: "w", signal: "my-signal", timeout_ms: 60_000 }),
      await report({ kind: "event", key: "e", event: "something", timeout_ms: 60_000, since_ms: 3_600_000 }),
    ];
    expect(told.join()).not.toContain(MARK);
    expect(await everything()).toBe(before);
  });

  test("for one job opens no other", async () => {
    await other("POST", "/v1/queues/own/jobs", { payload: 1 });
    await other("PATCH", "/v1/queues/own", { callback_url: CALLBACK });
    const [mine] = await kit.claimed("callback", "own", "other");
    const before = await everything();
    const token = tokenOf(mine!, "complete");
    for (const id of [...foreign.jobs, ...foreign.runs, ...foreign.failed]) {
      for (const verb of ["complete", "fail", "heartbeat"]) {
        const { status } = await kit.api.anonymous(
          "POST",
          `/v1/jobs/${encodeURIComponent(id)}/${verb}?token=${token}`,
          {},
        );
        expect([id, verb, status >= 400 && status < 500]).toEqual([id, verb, true]);
      }
    }
    expect(await everything()).toBe(before);
  });
});

test("the same names in two workspaces are two things", async () => {
  await other("PUT", "/v1/queues/mine", { concurrency: 1 });
  await kit.rotor.jobs.enqueue("mine", { jobId: "twin", payload: 1 });
  expect((await other("POST", "/v1/queues/mine/jobs", { payload: 2, job_id: "twin" })).json.duplicate).toBe(false);
  expect((await kit.rotor.jobs.get("mine", "twin")).payload).toBe(1);
  await other("DELETE", "/v1/queues/mine/jobs/twin");
  expect((await kit.rotor.jobs.get("mine", "twin")).state).toBe("waiting");
});
