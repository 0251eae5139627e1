/** Who changed what: written for every route that changes or decides something, listed as JSON and as CSV. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { csvCell } from "../core/csv.js";
import { type ClientApi, clientApi } from "./testing-kit/client.js";

let kit: ClientApi;
beforeAll(async () => {
  kit = await clientApi();
});
afterAll(() => kit.api.close());

/** They carry work, they change nothing that is configured, and there are thousands of them a second; or they only look. */
const WORK = [
  "POST /v1/queues/{name}/jobs",
  "POST /v1/queues/{name}/jobs/batch",
  "POST /v1/functions/{id}/runs",
  "POST /v1/functions/check",
  "POST /v1/events",
  "POST /v1/signals/{id}/complete",
];

test("every route that changes something says what the audit calls it, or is work", async () => {
  type Operation = { security: { key: [string] }[]; "x-rotor-audit"?: string };
  const { paths }: { paths: Record<string, Record<string, Operation>> } = (await kit.send("GET", "/doc")).json;
  const unaudited = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method, operation]) => method !== "get" && operation.security.length > 0)
      .filter(([, operation]) => operation["x-rotor-audit"] === undefined)
      .map(([method]) => `${method.toUpperCase()} ${path}`),
  );
  expect(unaudited.toSorted(), "give the others an `audit` in their spec").toEqual(WORK.toSorted());
});

test("it names the key, the thing and what was given, never a value", async () => {
  const key = await kit.rotor.keys.create({ name: "ci", scopes: ["admin"] });
  const headers = { authorization: `Bearer ${key.key}` };
  const as = (method: string, path: string, body?: unknown) => kit.api.anonymous(method, path, body, headers);
  await as("PUT", "/v1/secrets/TOKEN", { value: "not-for-the-audit" });
  await as("PUT", "/v1/queues/q", { concurrency: 5, headers: { "x-key": "nor-this" } });
  await as("PATCH", "/v1/queues/q", { concurrency: 6 });
  await as("POST", "/v1/queues/q/jobs", { payload: "nor this" });
  await as("POST", "/v1/keys/rotate-signing", { queue: "q" });
  // What did not happen is no event.
  await as("PATCH", "/v1/queues/missing", { concurrency: 6 });
  await as("PATCH", "/v1/queues/q", { concurrency: "six" });
  await as("POST", "/v1/dlq/replay", { queue: "q", dry_run: true });
  await as("DELETE", "/v1/secrets/TOKEN");

  const { data } = await kit.rotor.audit.list().page();
  const mine = data.filter((event) => event.actor === `key:${key.id} ci`);
  expect(mine.map(({ action, subject, details }) => [action, subject, details.fields])).toEqual([
    ["secret.delete", "TOKEN", undefined],
    ["signing-key.rotate", "q", ["queue"]],
    ["queue.update", "q", ["concurrency"]],
    ["queue.put", "q", ["concurrency", "headers"]],
    ["secret.put", "TOKEN", ["value"]],
  ]);
  expect(data.some((event) => event.action === "key.create" && event.subject === key.id)).toBe(true);
  expect(JSON.stringify(data)).not.toMatch(/not-for|nor.this|whsec_|rt_ws_/);
});

test("it is listed by action, subject and time, in pages", async () => {
  const before = new Date(Date.now() + 60_000);
  for (const name of ["p1", "p2", "p3"]) await kit.rotor.queues.put(name, {});
  const actions = { action: "queue.put", before };
  const page = await kit.rotor.audit.list({ ...actions, limit: 2 }).page();
  expect(page.data.map((event) => event.subject)).toEqual(["p3", "p2"]);
  const next = await kit.rotor.audit.list({ ...actions, limit: 2 }).page(page.nextCursor!);
  expect(next.data[0]!.subject).toBe("p1");
  expect((await kit.rotor.audit.list({ subject: "p2" }).page()).data).toHaveLength(1);
  expect((await kit.rotor.audit.list({ after: before }).page()).data).toEqual([]);
});

describe("as CSV", () => {
  test("it comes by ?format=csv, or where Accept asks for it", async () => {
    const byFormat = await kit.send("GET", "/v1/audit?format=csv&limit=1");
    const byAccept = await kit.send("GET", "/v1/audit?limit=1", undefined, { accept: "text/csv" });
    const [head, first, ...rest] = byFormat.text.split("\r\n");
    expect([head, rest]).toEqual(['"id","at","actor","action","subject","fields"', [""]]);
    expect(first).toMatch(/^"[0-9a-f-]{36}","20.*Z","key:[0-9a-f-]{36} sdk","queue.put","p3",""$/);
    expect([byAccept.text, byAccept.headers.get("content-type")]).toEqual([byFormat.text, "text/csv; charset=utf-8"]);
    expect(byFormat.headers.get("x-rotor-next-cursor")).toBe(first!.slice(1, 37));
    const json = await kit.send("GET", "/v1/audit?format=json", undefined, { accept: "text/csv" });
    expect(json.json.data.length).toBeGreaterThan(3);
  });

  test.each([
    ["=1+1", `"'=1+1"`],
    ["+1", `"'+1"`],
    ["-1", `"'-1"`],
    ["@SUM(A1)", `"'@SUM(A1)"`],
    ["\t=1", `"'=1"`],
    ["  =1", `"'  =1"`],
    ["a\r\nb\u0000\u001b[2J\u0085", `"ab[2J"`],
    ['say "no", please', `"say ""no"", please"`],
    ["plain-name", `"plain-name"`],
  ])("a cell %j is %s", (text, cell) => {
    expect(csvCell(text)).toBe(cell);
  });
});
