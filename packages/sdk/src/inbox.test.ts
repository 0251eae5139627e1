/** What the inbox's functions make of jobs and events, and of shapes that are no transaction. With the libraries themselves: the server's stories. */
import { expect, test } from "vitest";
import { runWithStepKey } from "./context.js";
import { enqueueIn, enqueueStatement, type InboxTransaction, sendIn, sendStatement } from "./inbox.js";

/** A transaction of `pg`'s shape that keeps what it was asked. */
function recorder() {
  const asked: { text: string; rows: unknown[] }[] = [];
  return {
    asked,
    query: async (text: string, values: unknown[]) => void asked.push({ text, rows: JSON.parse(String(values[0])) }),
  };
}

test("options are written as the envelope has them, and what is the user's is left alone", () => {
  const { text, values } = enqueueStatement(
    "mails",
    [
      {
        jobId: "a",
        payload: { camelCase: 1 },
        runAt: new Date(0),
        maxAttempts: 2,
        onDuplicate: "reject",
        headers: { "X-camelCase": "b" },
      },
    ],
    { schema: "jobs", workspace: "eu" },
  );
  expect(text).toMatch(/^insert into jobs\.inbox \(workspace_id, kind, target, id, payload, options\) select /);
  expect(JSON.parse(values[0])).toEqual([
    {
      kind: "job",
      target: "mails",
      id: "a",
      workspace: "eu",
      payload: { camelCase: 1 },
      options: {
        run_at: "1970-01-01T00:00:00.000Z",
        max_attempts: 2,
        on_duplicate: "reject",
        headers: { "X-camelCase": "b" },
      },
    },
  ]);
  expect(JSON.parse(sendStatement([{ name: "x", ts: 5 }]).values[0])).toEqual([
    { kind: "event", target: "x", workspace: "default", payload: null, options: { ts: 5 } },
  ]);
});

test("an id is made where none is given; within a step a repeat gives the same one", async () => {
  const tx = recorder();
  const { jobId } = await enqueueIn(tx, "mails");
  expect(jobId).toMatch(/^[0-9a-f-]{36}$/);
  expect(tx.asked[0]!.rows).toMatchObject([{ id: jobId }]);
  const inStep = () =>
    runWithStepKey("run/step", async () => [await enqueueIn(tx, "mails"), await sendIn(tx, { name: "x" })]);
  expect(await inStep()).toEqual([{ jobId: "run/step/1" }, { id: "run/step/2" }]);
  expect(await inStep()).toEqual([{ jobId: "run/step/1" }, { id: "run/step/2" }]);
});

test.each(["", "Rotor", "a-b", 'a"b', "a;drop"])("%j is no schema's name", async (schema) => {
  await expect(enqueueIn(recorder(), "mails", {}, { schema })).rejects.toThrow("no name of a Rotor schema");
});

test("a queue and an event have names", async () => {
  await expect(enqueueIn(recorder(), "")).rejects.toThrow("cannot be a name");
  await expect(sendIn(recorder(), { name: "" })).rejects.toThrow("cannot be a name");
});

test.each([undefined, null, 1, "x", {}, () => undefined, { query: "select" }])(
  "%j is no transaction",
  async (shape) => {
    await expect(enqueueIn(shape as InboxTransaction, "mails")).rejects.toThrow("this is no transaction of pg");
  },
);

test("Prisma's and postgres.js' transactions are asked in their way, and their roots are refused", async () => {
  const asked: unknown[][] = [];
  const tag = (...args: unknown[]) => args;
  const ask = async (...args: unknown[]): Promise<void> => void asked.push(args);
  const prisma = { $executeRawUnsafe: ask, $executeRaw: tag };
  const postgres = Object.assign(tag, { unsafe: ask, savepoint: tag });
  await enqueueIn(prisma, "mails", { jobId: "a" });
  await enqueueIn(postgres, "mails", { jobId: "a" });
  const { text, values } = enqueueStatement("mails", [{ jobId: "a" }]);
  expect(asked).toEqual([
    [text, ...values],
    [text, values],
  ]);
  const roots = [{ ...prisma, $transaction: tag }, Object.assign(() => undefined, { unsafe: ask, begin: tag })];
  for (const root of roots)
    await expect(enqueueIn(root as never, "mails")).rejects.toThrow("outside of your transaction");
});

test("roots and pools are refused by type, where their types differ from their transactions'", () => {
  type Pool = { query(text: string, values: unknown[]): Promise<unknown>; readonly totalCount: number };
  type Root = { executeQuery(query: never): Promise<unknown>; readonly isTransaction: boolean };
  // @ts-expect-error: a pool
  const pool: InboxTransaction = undefined as unknown as Pool;
  // @ts-expect-error: a root
  const root: InboxTransaction = undefined as unknown as Root;
  expect([pool, root]).toEqual([undefined, undefined]);
});
