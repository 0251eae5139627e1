/** Jobs read for several callers at once: each has his own, and none another workspace's. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, enqueueAll, functionQueue, newJob, newRun, WORKSPACE } from "../testing-kit/fixtures.js";
import type { Statement, Value } from "./db.js";
import { readerOfJobs } from "./read-together.js";

let database: TestDatabase;
let ours: string[];
let theirs: string;

beforeAll(async () => {
  database = await testDatabase();
  const { id } = await callbackQueue(database.db);
  const other = await functionQueue(database.db, "theirs", { workspace: "other" });
  const jobs = Array.from({ length: 40 }, () => newJob(id));
  const run = newRun(other);
  await enqueueAll(database.db, [...jobs, run]);
  ours = jobs.map((job) => job.id);
  theirs = run.id;
});
afterAll(() => database.close());

test("all who ask at the same time are answered by a few statements, each with his own", async () => {
  let statements = 0;
  const reader = readerOfJobs({
    query<Row>(statement: Statement, values?: readonly Value[]) {
      statements++;
      return database.db.query<Row>(statement, values);
    },
  });
  const asked = [...ours, ...ours].map((id) => ({ workspace: WORKSPACE, id }));
  const found = await Promise.all(asked.map((each) => reader.write(each)));
  expect(found.map((job) => job?.id)).toEqual([...ours, ...ours]);
  expect(statements).toBe(4);
});

test("nobody is given what is another workspace's, whoever asks beside him", async () => {
  const reader = readerOfJobs(database.db);
  const asked = [
    { workspace: "other", id: theirs },
    { workspace: WORKSPACE, id: theirs },
    { workspace: "other", id: ours[0]! },
    { workspace: WORKSPACE, id: ours[0]! },
    { workspace: WORKSPACE, id: newId() },
  ];
  const found = await Promise.all(asked.map((each) => reader.write(each)));
  expect(found.map((job) => job?.id)).toEqual([theirs, undefined, undefined, ours[0], undefined]);
});
