/** Rows of the inbox become jobs and events, each once, whatever dies when; what cannot become one is a dead letter. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { readInboxRow } from "../http/inbox-row.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, functionQueue, WORKSPACE } from "../testing-kit/fixtures.js";
import { mutantDb, pausedDb } from "../testing-kit/mutants.js";
import type { Db } from "./db.js";
import { hasRows, type Moved, moveRows } from "./inbox.js";
import { INBOX_QUEUE } from "./inbox-targets.js";
import { violations } from "./invariants.js";
import { createWorkspace } from "./workspaces.js";

let database: TestDatabase;
let db: Db;
beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  await callbackQueue(db, "mails");
  await functionQueue(db, "listening", { triggers: [{ event: "contact.added" }] });
});
afterEach(async () => {
  expect(await violations(db)).toEqual([]);
  await clearJobs(db);
  await db.script("delete from rotor.inbox");
});
afterAll(() => database.close());

type Row = {
  readonly workspace?: string;
  readonly kind?: string;
  readonly target?: string;
  readonly id?: string;
  readonly payload?: string;
  readonly options?: string;
};

const insert = {
  name: "inbox-test.insert",
  text: `insert into rotor.inbox (workspace_id, kind, target, id, payload, options)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::json[], $6::jsonb[])`,
};
const put = (rows: readonly Row[]): Promise<unknown> =>
  db.query(insert, [
    rows.map((row) => row.workspace ?? WORKSPACE),
    rows.map((row) => row.kind ?? "job"),
    rows.map((row) => row.target ?? "mails"),
    rows.map((row) => row.id ?? null),
    rows.map((row) => row.payload ?? null),
    rows.map((row) => row.options ?? "{}"),
  ]);

/** Moves until nothing is left. */
async function moveAll(on: Db = db): Promise<Moved[]> {
  const moved: Moved[] = [];
  do moved.push(await moveRows(on, readInboxRow));
  while (moved.at(-1)!.more);
  return moved;
}

type Stored = {
  readonly workspace: string;
  readonly queue: string;
  readonly key: string | null;
  readonly state: string;
  readonly body: string;
  readonly error: string | null;
};
const stored = {
  name: "inbox-test.stored",
  text: `select queue.workspace_id as workspace, queue.name as queue, payload.key, job.state, convert_from(payload.body, 'utf8') as body,
                last.error::json ->> 'message' as error
           from rotor.payloads payload join rotor.jobs job on job.id = payload.job_id join rotor.queues queue on queue.id = job.queue_id
           left join rotor.deliveries last on last.job_id = job.id
          order by job.id`,
};
const jobs = (): Promise<Stored[]> => db.query<Stored>(stored);

test("a row becomes a job with its options, and its payload keeps its own text", async () => {
  const payload = '{"b": 1.10,  "a":12345678901234567890, "ä":"\\u00e4"}';
  const options = { priority: 7, max_attempts: 3, timeout: "5s", tags: ["eu"], headers: { "x-a": "b" }, delay: "1h" };
  await put([{ id: "order-1", payload, options: JSON.stringify(options) }]);
  expect(await hasRows(db)).toBe(true);
  expect(await moveRows(db, readInboxRow)).toMatchObject({ rows: 1, more: false });
  expect(await hasRows(db)).toBe(false);
  const { rows } = await db.script(
    `select payload.key, convert_from(payload.body, 'utf8') as body, content_type, tags, headers, max_attempts, timeout_ms,
            round(extract(epoch from due_at - created_at))::int as delay from rotor.payloads payload join rotor.jobs on id = job_id`,
  );
  expect(rows).toEqual([
    {
      key: "order-1",
      body: payload,
      content_type: "application/json",
      tags: ["eu"],
      headers: { "x-a": "b" },
      max_attempts: 3,
      timeout_ms: 5_000,
      delay: 3_600,
    },
  ]);
});

test("a row without payload, id and options is a job, and the order of rows is the order of jobs", async () => {
  await put([{}, ...Array.from({ length: 20 }, (_, n) => ({ payload: String(n) }))]);
  await moveAll();
  expect((await jobs()).map((job) => job.body)).toEqual(["null", ...Array.from({ length: 20 }, (_, n) => String(n))]);
});

test("an id that was there already enqueues nothing, or is a dead letter where that was asked for", async () => {
  await put([
    { id: "once", payload: "1" },
    { id: "once", payload: "2" },
  ]);
  await moveAll();
  await put([
    { id: "once", payload: "3" },
    { id: "once", payload: "4", options: '{"on_duplicate": "reject"}' },
  ]);
  await moveAll();
  expect((await jobs()).map(({ key, state, body }) => [key, state, body])).toEqual([
    ["once", "waiting", "1"],
    [null, "failed", "4"],
  ]);
});

test("of several rows that replace each other the last one counts, in one batch and in the next", async () => {
  const replace = (payload: string) => ({ id: "debounced", payload, options: '{"on_duplicate": "replace"}' });
  const numbers = Array.from({ length: 30 }, (_, n) => String(n));
  await put(numbers.map(replace));
  await moveAll();
  expect((await jobs()).map((job) => job.body)).toEqual(["29"]);
  await put(["30", "31"].map(replace));
  await moveAll();
  expect((await jobs()).map(({ key, state, body }) => [key, state, body])).toEqual([["debounced", "waiting", "31"]]);
});

test("an event's row publishes it: its run starts in the same commit", async () => {
  await put([
    { kind: "event", target: "contact.added", id: "e-1", payload: '{"id": 7.0}', options: '{"ts": 1700000000000}' },
    { kind: "event", target: "contact.added", id: "e-1", payload: "1" },
    { kind: "event", target: "nobody.listens" },
  ]);
  const [{ events }] = (await moveAll()) as [Moved];
  expect(events.map(({ event, published }) => [event.name, published.duplicate, published.runs.length])).toEqual([
    ["contact.added", false, 1],
    ["contact.added", true, 1],
    ["nobody.listens", false, 0],
  ]);
  expect((await jobs()).map((job) => job.body)).toEqual([
    '{"id":"e-1","name":"contact.added","data":{"id": 7.0},"ts":1700000000000}',
  ]);
});

test("of rows that are read together, too, an event cancels the run of one before it", async () => {
  const starting = { cancel_on: [{ event: "contact.removed", match: "data.id == trigger.data.id" }] };
  await functionQueue(db, "greeting", { triggers: [{ event: "contact.met" }], starting });
  const row = (target: string, id: number): Row => ({ kind: "event", target, payload: JSON.stringify({ id }) });
  await put([row("contact.met", 1), row("contact.met", 2), row("contact.removed", 1), row("contact.met", 1)]);
  expect(await moveAll()).toHaveLength(1);
  expect((await jobs()).map((job) => [JSON.parse(job.body).data.id, job.state])).toEqual([
    [1, "cancelled"],
    [2, "waiting"],
    [1, "waiting"],
  ]);
});

test("one id in two workspaces is two events, and each is answered for its own", async () => {
  await createWorkspace(db, "other", "Other");
  const both = [
    { kind: "event", target: "x", id: "same" },
    { kind: "event", target: "x", id: "same", workspace: "other" },
  ];
  await put(both);
  const [first] = (await moveAll()) as [Moved];
  await put(both);
  const [second] = (await moveAll()) as [Moved];
  const ids = first.events.map(({ published }) => published.id);
  expect(new Set(ids).size).toBe(2);
  expect(second.events.map(({ published }) => [published.id, published.duplicate])).toEqual(
    ids.map((id) => [id, true]),
  );
});

const bad: readonly (readonly [string, Row, queue: string, reason: RegExp])[] = [
  ["a queue that is not there", { target: "mials" }, INBOX_QUEUE, /there is no queue "mials"/],
  ["a queue of the system", { target: INBOX_QUEUE }, INBOX_QUEUE, /there is no queue "rotor\/inbox"/],
  ["a function", { target: "listening" }, INBOX_QUEUE, /there is no queue "listening"/],
  ["a workspace that is not there", { workspace: "nowhere" }, INBOX_QUEUE, /there is no workspace "nowhere"/],
  ["another kind", { kind: "jobs" }, INBOX_QUEUE, /kind: write "job" or "event"/],
  ["an option that is not there", { options: '{"prio": 1}' }, "mails", /options: unknown key "prio"/],
  ["a duration that is none", { options: '{"delay": "soon"}' }, "mails", /options\.delay: .*"30s"/],
  [
    "options that contradict each other",
    { options: '{"delay": 1, "run_at": "2030-01-01T00:00:00Z"}' },
    "mails",
    /delay and run_at/,
  ],
  [
    "a header that deliveries may not have",
    { options: '{"headers": {"x-rotor-a": "b"}}' },
    "mails",
    /options\.headers/,
  ],
  ["options that are no object", { options: "[]" }, "mails", /options: write a JSON object/],
  ["options that are columns", { options: '{"job_id": "a"}' }, "mails", /options: job_id has a column/],
  ["an id of Rotor's own", { id: "rotor:x" }, "mails", /: id: ids that begin with "rotor:"/],
  ["a payload too deep", { payload: "[".repeat(65) + "]".repeat(65) }, "mails", /payload: it is nested 65 deep/],
  ["a payload that no text can hold", { payload: '"\\u0000"' }, "mails", /payload: it holds the character/],
  ["an event of Rotor's own", { kind: "event", target: "rotor/x" }, INBOX_QUEUE, /: target: names that begin/],
  [
    "an event's time in seconds",
    { kind: "event", target: "x", options: '{"ts": 1700000000}' },
    INBOX_QUEUE,
    /options\.ts: .*seconds/,
  ],
];

test.each(bad)("%s: a dead letter with its reason, and the rows around it move on", async (_, row, queue, reason) => {
  await put([{ id: "before" }, row, { id: "after" }]);
  await moveAll();
  const all = await jobs();
  expect(all.map((job) => job.key).sort()).toEqual(["after", "before", null].sort());
  const letter = all.find((job) => job.key === null)!;
  expect(letter).toMatchObject({ workspace: WORKSPACE, queue, state: "failed", error: expect.stringMatching(reason) });
  // In its own queue the payload as it was; in the inbox's the whole row.
  if (queue === "mails") expect(letter.body).toBe(row.payload ?? "null");
  else {
    const whole = { workspace_id: WORKSPACE, kind: "job", target: "mails", id: null, payload: null, options: {} };
    const { workspace = WORKSPACE, options = "{}", ...rest } = row;
    expect(JSON.parse(letter.body)).toEqual({
      ...whole,
      ...rest,
      workspace_id: workspace,
      options: JSON.parse(options),
    });
  }
});

test("a row that was put right is inserted again under its id", async () => {
  await put([{ id: "again", options: '{"delay": "soon"}' }]);
  await moveAll();
  await put([{ id: "again" }]);
  await moveAll();
  expect((await jobs()).map((job) => [job.key, job.state])).toEqual([
    [null, "failed"],
    ["again", "waiting"],
  ]);
});

test("a row that the database itself refuses stands alone in the end, and becomes a dead letter with what it said", async () => {
  await put(Array.from({ length: 40 }, (_, n) => ({ id: `n-${n}` })));
  const picky = mutantDb(db, "enqueue.insert", (text) =>
    text.replace(
      "unnest($1::uuid[],",
      "unnest((select array_agg(id::uuid) from unnest($1::text[], $3::text[]) as x (id, key) where 1 / (case when key = 'n-17' then 0 else 1 end) = 1),",
    ),
  );
  await moveAll(picky);
  const all = await jobs();
  expect(all.filter((job) => job.state === "waiting")).toHaveLength(39);
  expect(all.filter((job) => job.state === "failed").map((job) => job.error)).toEqual([
    expect.stringMatching(/\(id "n-17"\): it could not be stored: division by zero/),
  ]);
});

test("what is too large is refused while its sender has it in hand", async () => {
  await expect(put([{ payload: JSON.stringify("x".repeat(1_048_576)) }])).rejects.toThrow("inbox_payload_of_1_mib");
  await expect(put([{ target: "x".repeat(65_536) }])).rejects.toThrow("inbox_row_of_64_kib");
});

test("large payloads share no commit beyond what fits into memory", async () => {
  const payload = JSON.stringify("x".repeat(1_000_000));
  await put(Array.from({ length: 6 }, () => ({ payload })));
  expect((await moveAll()).map((each) => each.rows)).toEqual([4, 2]);
});

test("rows that one node has in hand are left to it by the others", async () => {
  await put([{ id: "a" }, { id: "b" }]);
  const paused = pausedDb(db, { after: "inbox.lock" });
  const first = moveRows(paused.db, readInboxRow);
  await paused.reached;
  expect(await moveRows(db, readInboxRow)).toMatchObject({ rows: 0, more: false });
  await put([{ id: "c" }]);
  expect(await moveRows(db, readInboxRow)).toMatchObject({ rows: 1 });
  paused.go();
  expect(await first).toMatchObject({ rows: 2 });
  expect((await jobs()).map((job) => job.key).sort()).toEqual(["a", "b", "c"]);
});

test.each(["inbox.lock", "enqueue.insert", "publish.insert", "commit"] as const)(
  "a mover that dies at %s has moved nothing, and the next one moves all of it once",
  async (at) => {
    await put([{ id: "a" }, { id: "b" }, { kind: "event", target: "contact.added", id: "e" }]);
    const paused = pausedDb(db, at === "commit" ? at : { after: at });
    const dying = moveRows(paused.db, readInboxRow);
    const died = expect(dying).rejects.toThrow();
    await db.query({ name: "inbox-test.kill", text: "select pg_terminate_backend($1)" }, [await paused.reached]);
    paused.go();
    await died;
    expect(await jobs()).toEqual([]);
    await moveAll();
    expect((await jobs()).map((job) => job.key).sort()).toEqual(["a", "b", expect.stringMatching(/^rotor:event:/)]);
  },
);
