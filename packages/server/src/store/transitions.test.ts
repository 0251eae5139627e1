/** Every transition of the model against every state that a job can be in: what it becomes, or that nothing changes. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  type Holder,
  newRun,
  notYet,
  publishOne,
  ran,
  readJob,
  settleOne,
  storedRows,
  waitFor,
} from "../testing-kit/fixtures.js";
import { approve, cancel, expirePatience, reject, resumeHeld, retry } from "./control.js";
import type { Db } from "./db.js";
import { endLate } from "./deadlines.js";
import { violations } from "./invariants.js";
import { registerNode } from "./nodes.js";
import { replay } from "./replay.js";
import { expireOverdue, release, rescueDead } from "./rescue.js";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** Of every run here: longer than all that the other transitions take. */
const TIMEOUT = 60 * DAY;

/** A run, as a test sees it: the stored state, and what is special about it. */
type Seen =
  | "pending_approval"
  | "waiting, due"
  | "waiting, not yet due"
  | "waiting, held"
  | "active"
  | "active, woken"
  | "completed"
  | "failed"
  | "cancelled";

type Case = { readonly db: Db; readonly queueId: number; readonly key: string; readonly holder: Holder };

const nodeId = newId();

/** Brings a run that was just enqueued there; answers whom a holder of its first delivery takes himself for. */
const states: Readonly<Record<string, (db: Db, queueId: number, jobId: string) => Promise<Holder>>> = {
  pending_approval: async (_db, _queueId, jobId) => ({
    jobId,
    delivery: 0,
    attempt: 0,
    parentId: null,
    kind: "function",
  }),
  "waiting due": async (db, queueId, jobId) => {
    const holder = await begin(db, queueId, jobId);
    await release(db, [holder]);
    return holder;
  },
  "waiting not yet due": (db, queueId, jobId) => end(db, queueId, jobId, notYet()),
  "waiting held": (db, queueId, jobId) =>
    end(db, queueId, jobId, { kind: "diverged", error: { name: "DivergedError", message: "" } }),
  "active fresh": (db, queueId, jobId) => begin(db, queueId, jobId),
  "active with another delivery number": async (db, queueId, jobId) => {
    const holder = await begin(db, queueId, jobId);
    await release(db, [holder]);
    await claimOne(db, queueId, jobId, nodeId);
    return holder;
  },
  completed: (db, queueId, jobId) => end(db, queueId, jobId, { kind: "done", output: "1" }),
  failed: (db, queueId, jobId) => end(db, queueId, jobId, failedWith("no", true)),
  cancelled: async (db, queueId, jobId) => {
    const holder = await begin(db, queueId, jobId);
    await cancel(db, [jobId]);
    return holder;
  },
};

/** Claimed, with a wait for the event `ping` stored. */
async function begin(db: Db, queueId: number, jobId: string): Promise<Holder> {
  const holder = await claimOne(db, queueId, jobId, nodeId);
  await checkpointOne(db, holder, [waitFor("wait", "ping")]);
  return holder;
}

async function end(db: Db, queueId: number, jobId: string, how: Parameters<typeof settleOne>[2]): Promise<Holder> {
  const holder = await begin(db, queueId, jobId);
  await settleOne(db, holder, how);
  return holder;
}

type Expected = Readonly<Record<string, Seen>>;

type Transition = {
  /** How far the clock is ahead when it happens. */
  readonly afterMs?: number;
  readonly act: (at: Case) => Promise<unknown>;
  /** What becomes of which state; of every other, nothing changes. */
  readonly expected: Expected;
};

/** A holder's write that nobody else's state allows. */
const fenced = (to: Seen): Expected => ({ "active fresh": to });
const bothActive = (to: Seen): Expected => ({ "active fresh": to, "active with another delivery number": to });

const transitions: Readonly<Record<string, Transition>> = {
  "enqueue of a duplicate": {
    act: async ({ db, queueId, key, holder }) => {
      const [answer] = await enqueueAll(db, [newRun(queueId, {}, { key })]);
      expect(answer).toMatchObject({
        id: holder.jobId,
        duplicate: true,
        state: (await readJob(db, holder.jobId)).state,
      });
    },
    expected: {},
  },
  approve: { act: ({ db, holder }) => approve(db, [holder.jobId]), expected: { pending_approval: "waiting, due" } },
  reject: { act: ({ db, holder }) => reject(db, [holder.jobId], null), expected: { pending_approval: "failed" } },
  "approval deadline": {
    afterMs: 8 * DAY,
    act: ({ db }) => expirePatience(db),
    expected: { pending_approval: "failed" },
  },
  claim: { act: ({ db, queueId }) => claimAll(db, queueId, nodeId), expected: { "waiting due": "active" } },
  checkpoint: { act: ({ db, holder }) => checkpointOne(db, holder, [ran("step", 1)]), expected: fenced("active") },
  continue: {
    act: ({ db, holder }) =>
      settleOne(db, holder, notYet([ran("step", 1), { kind: "sleep", key: "nap", delay_ms: 0 }])),
    expected: fenced("active"),
  },
  "accepted (202)": {
    act: ({ db, holder }) => settleOne(db, holder, { kind: "accepted" }),
    expected: fenced("active"),
  },
  "settle: done": {
    act: ({ db, holder }) => settleOne(db, holder, { kind: "done", output: "1" }),
    expected: fenced("completed"),
  },
  "settle: fail": {
    act: ({ db, holder }) => settleOne(db, holder, failedWith("no", true)),
    expected: fenced("failed"),
  },
  "settle: retry": {
    act: ({ db, holder }) => settleOne(db, holder, failedWith("not now")),
    expected: fenced("waiting, not yet due"),
  },
  "settle: wait": {
    act: ({ db, holder }) => settleOne(db, holder, notYet([{ kind: "sleep", key: "nap", delay_ms: MINUTE }])),
    expected: fenced("waiting, not yet due"),
  },
  resume: {
    act: ({ db }) => publishOne(db, "ping"),
    expected: {
      ...bothActive("active, woken"),
      "waiting due": "waiting, due",
      "waiting not yet due": "waiting, due",
      "waiting held": "waiting, held",
    },
  },
  release: { act: ({ db, holder }) => release(db, [holder]), expected: fenced("waiting, due") },
  orphaned: { afterMs: 6_000, act: ({ db }) => rescueDead(db), expected: bothActive("waiting, due") },
  expired: {
    afterMs: 11 * MINUTE,
    act: ({ db }) => expireOverdue(db, () => 0),
    expected: bothActive("waiting, not yet due"),
  },
  held: {
    act: ({ db, holder }) => settleOne(db, holder, { kind: "diverged", error: { name: "DivergedError", message: "" } }),
    expected: fenced("waiting, held"),
  },
  "resume of held": {
    act: ({ db, holder }) => resumeHeld(db, [holder.jobId]),
    expected: { "waiting held": "waiting, due" },
  },
  "deadline of held": {
    afterMs: 31 * DAY,
    act: ({ db }) => expirePatience(db),
    expected: { pending_approval: "failed", "waiting held": "failed" },
  },
  cancel: {
    act: ({ db, holder }) => cancel(db, [holder.jobId]),
    expected: {
      ...bothActive("cancelled"),
      pending_approval: "cancelled",
      "waiting due": "cancelled",
      "waiting not yet due": "cancelled",
      "waiting held": "cancelled",
    },
  },
  "deadline of the run": {
    afterMs: TIMEOUT + 1_000,
    act: ({ db }) => endLate(db),
    expected: {
      ...bothActive("failed"),
      pending_approval: "failed",
      "waiting due": "failed",
      "waiting not yet due": "failed",
      "waiting held": "failed",
    },
  },
  "a look before the deadline": { afterMs: TIMEOUT - MINUTE, act: ({ db }) => endLate(db), expected: {} },
  retry: { act: ({ db, holder }) => retry(db, [holder.jobId]), expected: { failed: "waiting, due" } },
  replay: {
    act: async ({ db, queueId, holder }) => {
      // A new run; of the old one nothing changes. The new one is taken away before the rows are compared.
      const id = await replay(db, holder.jobId, {});
      expect(await seen(db, id!)).toBe(queueId === approved ? "pending_approval" : "waiting, due");
      await db.script(`delete from rotor.jobs where id = '${id}'; delete from rotor.payloads where job_id = '${id}'`);
    },
    expected: {},
  },
};

async function seen(db: Db, jobId: string): Promise<Seen> {
  const job = await readJob(db, jobId);
  if (job.state === "waiting")
    return job.held ? "waiting, held" : job.dueInMs! <= 0 ? "waiting, due" : "waiting, not yet due";
  if (job.state === "active") return job.woken ? "active, woken" : "active";
  return job.state as Seen;
}

let database: TestDatabase;
let open: number;
let approved: number;
beforeAll(async () => {
  database = await testDatabase();
  open = await functionQueue(database.db, "open");
  approved = await functionQueue(database.db, "approved");
  await database.db.script(`update rotor.queues set approval_required = true where id = ${approved}`);
});
afterAll(() => database.close());

test.each(Object.entries(transitions))(
  "%s moves what it may and leaves the rest as it is",
  async (name, { afterMs, act, expected }) => {
    const { db } = database;
    for (const [state, reach] of Object.entries(states)) {
      await clearJobs(db);
      await registerNode(db, nodeId, "test");
      const queueId = state === "pending_approval" ? approved : open;
      const run = newRun(queueId, {}, { key: "key", deadlineMs: TIMEOUT });
      await enqueueAll(db, [run]);
      const holder = await reach(db, queueId, run.id);
      expect(await violations(db), `before ${name} of ${state}`).toEqual([]);
      if (afterMs !== undefined) await database.shiftClock(afterMs);
      const before = await storedRows(db);
      await act({ db, queueId, key: "key", holder });
      const after = await storedRows(db);
      const to = expected[state];
      if (to === undefined) expect(after, `${name} of ${state} changes nothing`).toEqual(before);
      else {
        expect(after, `${name} of ${state} changes something`).not.toEqual(before);
        expect(await seen(db, run.id), `${name} of ${state}`).toBe(to);
      }
      expect(await violations(db), `after ${name} of ${state}`).toEqual([]);
      if (afterMs !== undefined) await database.shiftClock(0);
    }
  },
);
