/** Lists as people filter them: every page is bounded by what it looks at, and all pages together have what is meant. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { approve } from "../store/control.js";
import { CALLBACK, type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";

let kit: ClientApi;
beforeAll(async () => {
  kit = await clientApi();
});
afterAll(async () => {
  expect(kit.api.logged).toEqual([]);
  await kit.api.close();
});

/** Ids of all pages, each of which is asked for `limit` items. */
async function all(path: string, limit = 2): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const next: string = cursor === null ? "" : `&cursor=${cursor}`;
    const { status, json } = await kit.send("GET", `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${next}`);
    expect(status).toBe(200);
    ids.push(...json.data.map((each: { id: string }) => each.id));
    expect(json.data.length).toBeLessThanOrEqual(limit);
    cursor = json.next_cursor;
  } while (cursor !== null);
  return ids;
}

describe("jobs of all queues", () => {
  const made: Record<string, string> = {};
  beforeAll(async () => {
    const { rotor, claimed, api, send } = kit;
    for (const name of ["one", "two"]) await rotor.queues.put(name, { callbackUrl: CALLBACK });
    await rotor.queues.put("asked", { callbackUrl: CALLBACK, approvalRequired: true });
    const add = async (name: string, queue: string, options: object = {}) => {
      made[name] = (await rotor.jobs.enqueue(queue, { payload: name, ...options })).id;
    };
    await add("failed", "one", { tags: ["eu"] });
    const [failing] = await claimed("callback", "one");
    await api.anonymous("POST", `/v1/jobs/${failing!.jobId}/fail?token=${tokenOf(failing!, "complete")}`, {
      error: { name: "HttpError", message: "no" },
      retriable: false,
    });
    await add("active", "two", { concurrencyKey: "k" });
    await claimed("callback", "two");
    await add("blocked", "two", { concurrencyKey: "k" });
    await claimed("callback", "two");
    await add("due", "one", { tags: ["eu", "us"] });
    await add("later", "two", { delay: "1h" });
    await add("pending", "asked");
    await add("approved", "asked");
    await approve(api.database.db, [made.approved!], null);
    await add("cancelled", "one");
    await rotor.jobs.cancel("one", made.cancelled!);
    // Webhooks' deliveries are jobs of Rotor's own queues, and listed with their webhook.
    await send("POST", "/v1/webhooks", { name: "ear", url: CALLBACK });
    await send("POST", "/v1/webhooks/ear/test");
  });

  test.each([
    ["", ["cancelled", "approved", "pending", "later", "due", "blocked", "active", "failed"]],
    ["?queue=one", ["cancelled", "due", "failed"]],
    ["?state=waiting", ["approved", "later", "due", "blocked"]],
    ["?state=active", ["active"]],
    ["?state=failed", ["failed"]],
    ["?state=cancelled", ["cancelled"]],
    ["?state=completed", []],
    ["?state=pending_approval", ["pending"]],
    ["?state=approval", ["pending"]],
    ["?state=delayed", ["later"]],
    ["?state=key_blocked", ["blocked"]],
    ["?tag=eu", ["due", "failed"]],
    ["?tag=eu&state=failed", ["failed"]],
    ["?tag=us&queue=two", []],
    ["?error=NO", ["failed"]],
    ["?error=HttpError&state=failed", ["failed"]],
    ["?error=timeout", []],
    ["?created_after=2000-01-01T00:00:00Z&state=failed", ["failed"]],
    ["?created_before=2000-01-01T00:00:00Z", []],
    ["?created_after=2100-01-01T00:00:00Z&state=waiting", []],
  ] as [string, string[]][])("by %s are found, the newest first, page by page", async (query, names) => {
    const wanted = names.map((name) => made[name]!);
    expect(await all(`/v1/jobs${query}`)).toEqual(wanted);
    expect(await all(`/v1/jobs${query}`, 100)).toEqual(wanted);
    expect(await all(`/v1/jobs${query}${query === "" ? "?" : "&"}brief=true`, 1)).toEqual(wanted);
  });

  test("are read by their id alone, with their deliveries", async () => {
    const { status, json } = await kit.send("GET", `/v1/jobs/${made.failed}`);
    expect([status, json.queue, json.deliveries.length]).toEqual([200, "one", 1]);
    expect((await kit.send("GET", "/v1/jobs/no-such-job")).status).toBe(404);
  });
});

describe("a brief list", () => {
  test("leaves out what is large, and says so", async () => {
    const { rotor, send } = kit;
    await rotor.queues.put("large", {});
    await rotor.jobs.enqueue("large", { payload: "x".repeat(5_000) });
    await rotor.jobs.enqueue("large", { payload: "small" });
    const [small, large] = (await send("GET", "/v1/jobs?queue=large&brief=true")).json.data;
    expect([small.payload, small.omitted]).toEqual(["small", undefined]);
    expect([large.payload, large.omitted]).toEqual([null, ["payload"]]);
    expect((await send("GET", "/v1/queues/large/jobs")).json.data[1].payload).toHaveLength(5_000);
  });

  test("of runs still names the event, however it is written", async () => {
    const { rotor, send } = kit;
    const id = `a "quoted" \\ id ${"é".repeat(100)}`;
    const { runs } = await rotor.send({ name: "contact.added", id, data: { text: "y".repeat(5_000) } });
    const list = async (query: string) => (await send("GET", `/v1/runs?event=contact.added${query}`)).json.data;
    const [brief] = await list("&brief=true");
    expect(brief).toMatchObject({
      id: runs[0],
      omitted: ["event.data"],
      event: { id, name: "contact.added", data: null },
    });
    expect((await list(""))[0].event.data.text).toHaveLength(5_000);
    const events = (await send("GET", "/v1/events?name=contact.added&brief=true")).json.data;
    expect(events[0]).toMatchObject({ id, data: null, omitted: ["data"] });
  });
});

test("runs are found by the event that started them", async () => {
  const { rotor } = kit;
  const { runs } = await rotor.send({ name: "contact.added", id: "started-by-me", data: 1 });
  expect(await all("/v1/runs?event_id=started-by-me")).toEqual(runs);
  expect(await all("/v1/runs?event_id=nobody-knows")).toEqual([]);
});

test("events are found by name, tag and time, page by page", async () => {
  const { rotor } = kit;
  const ids = ["e1", "e2", "e3", "e4"];
  for (const [n, id] of ids.entries())
    await rotor.send({ name: n % 2 === 0 ? "even" : "odd", id, data: n, ...(n === 3 ? { tags: ["last"] } : {}) });
  expect(await all("/v1/events?name=even", 1)).toEqual(["e3", "e1"]);
  expect(await all("/v1/events?name=odd&tag=last", 1)).toEqual(["e4"]);
  expect(await all("/v1/events?tag=last")).toEqual(["e4"]);
  expect((await all("/v1/events", 3)).slice(0, 4)).toEqual(["e4", "e3", "e2", "e1"]);
  expect(await all("/v1/events?after=2100-01-01T00:00:00Z")).toEqual([]);
  expect(await all("/v1/events?name=even&before=2000-01-01T00:00:00Z")).toEqual([]);
  expect(await all("/v1/events?name=even&after=2000-01-01T00:00:00Z")).toEqual(["e3", "e1"]);
});

describe("a search", () => {
  const found = async (q: string): Promise<string[]> => {
    const { json } = await kit.send("GET", `/v1/find?q=${encodeURIComponent(q)}`);
    return json.data.map(({ type, id }: { type: string; id: string }) => `${type} ${id}`);
  };

  test("finds what has just this id or name", async () => {
    const { rotor } = kit;
    await rotor.queues.put("finding", {});
    const job = await rotor.jobs.enqueue("finding", { jobId: "order-1", payload: 1 });
    const { runId } = await rotor.runs.start("plain", 1, { id: "run-1" });
    await rotor.send({ name: "n", id: "order-1", data: 1 });
    expect(await found("order-1")).toEqual([`job ${job.id}`, "event order-1"]);
    expect(await found(job.id)).toEqual([`job ${job.id}`]);
    expect(await found(job.id.toUpperCase())).toEqual([`job ${job.id}`]);
    expect(await found("run-1")).toEqual([`run ${runId}`]);
    expect(await found("finding")).toEqual(["queue finding"]);
    expect(await found("plain")).toEqual(["function plain"]);
    expect(await found("ear")).toEqual(["webhook ear"]);
    expect(await found("order")).toEqual([]);
    expect(await found("%")).toEqual([]);
  });
});

test("apps are listed with how many functions they have and whether they are reached", async () => {
  const { json } = await kit.send("GET", "/v1/apps");
  expect(json.data).toMatchObject([{ name: "default", functions: 2, unreachable_since: null }]);
});

test("time is skipped in development only", async () => {
  const { runId } = await kit.rotor.runs.start("plain", 1);
  const { status, json } = await kit.send("POST", `/v1/runs/${runId}/skip`, { step: "nap" });
  expect([status, json.error.code]).toEqual([403, "development_only"]);
});
