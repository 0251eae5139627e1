/** Jobs that wait for a person's yes: given, refused with a reason, or not given in time; and the webhooks told of it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
let delivered: unknown[];
let told: { type: string; data: { approval?: { id: string; status: string; reason: string | null } } }[];

const readJson = async (request: AsyncIterable<unknown>): Promise<ReturnType<typeof JSON.parse>> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString());
};

beforeAll(async () => {
  server = await testServer();
  delivered = [];
  told = [];
  const callbackUrl = await server.serve(async (request, response) => {
    delivered.push(await readJson(request));
    response.end();
  });
  const url = await server.serve(async (request, response) => {
    told.push(await readJson(request));
    response.end();
  });
  await server.rotor.webhooks.create("ear", {
    url,
    types: ["approval.pending", "approval.approved", "approval.rejected"],
  });
  await server.rotor.queues.create("asked", { callbackUrl, approvalRequired: true, approvalTimeout: "1h" });
});
afterAll(() => server.close());

/** What webhooks were told of an approval, once this has come. */
const heardOf = (id: string, status: string) =>
  eventually(`${status} told of ${id}`, () =>
    told.some(({ data }) => data.approval?.id === id && data.approval.status === status)
      ? told.filter(({ data }) => data.approval?.id === id)
      : undefined,
  );

const listed = async (status: "pending" | "approved" | "rejected" | "expired") =>
  (await server.rotor.approvals.list({ status }).page()).data;

test("a job goes out once it is approved, not before, and the approval keeps its words", async () => {
  const { id } = await server.rotor.jobs.enqueue("asked", { payload: "approved" });
  await heardOf(id, "pending");
  expect(await listed("pending")).toMatchObject([{ id, status: "pending", expiresAt: expect.any(String) }]);
  expect(delivered).toEqual([]);
  expect(await server.rotor.approvals.approve(id, { reason: "looks right" })).toMatchObject({ status: "approved" });
  await eventually("the delivery", () => delivered.includes("approved"));
  expect(await listed("approved")).toMatchObject([{ id, queue: "asked", reason: "looks right", expiresAt: null }]);
  expect(await listed("pending")).toEqual([]);
  expect((await heardOf(id, "approved")).map(({ type }) => type)).toEqual(["approval.pending", "approval.approved"]);
  await expect(server.rotor.approvals.reject(id)).rejects.toMatchObject({ status: 409 });
});

test("a rejected job is a dead letter with its reason; bulk replay leaves it out, and a retry asks again", async () => {
  const { id } = await server.rotor.jobs.enqueue("asked", { payload: "rejected" });
  await server.rotor.approvals.reject(id, { reason: "too dear" });
  expect(await listed("rejected")).toMatchObject([{ id, status: "rejected", reason: "too dear" }]);
  expect((await server.rotor.dlq.list({ queue: "asked" }).page()).data).toMatchObject([
    { id, state: "failed", error: { name: "RejectedError", message: "too dear" } },
  ]);
  expect((await heardOf(id, "rejected")).at(-1)).toMatchObject({
    type: "approval.rejected",
    data: { approval: { reason: "too dear" }, job: { state: "failed" } },
  });
  expect(await server.rotor.dlq.replay({ filter: { queue: "asked" } })).toMatchObject({ replayed: 0 });
  expect((await server.rotor.jobs.retry("asked", id)).state).toBe("pending_approval");
  await eventually("the second question", async () => (await heardOf(id, "pending")).length === 3);
  expect(await listed("rejected")).toEqual([]);
  await server.rotor.approvals.approve(id);
  await eventually("the delivery", () => delivered.includes("rejected"));
});

test("an approval that nobody gave in time is over, and says so", async () => {
  const { id } = await server.rotor.jobs.enqueue("asked", { payload: "late" });
  await server.shiftClock(3_601_000);
  await eventually("the end", async () => (await server.rotor.jobs.get("asked", id)).state === "failed");
  expect(await listed("expired")).toMatchObject([{ id, status: "expired" }]);
  expect((await heardOf(id, "expired")).at(-1)).toMatchObject({ type: "approval.rejected" });
  await expect(server.rotor.approvals.approve(id)).rejects.toMatchObject({ status: 409 });
  expect(await server.rotor.dlq.replay({ filter: { queue: "asked" }, dryRun: true })).toMatchObject({ replayed: 0 });
  expect(delivered).not.toContain("late");
});
