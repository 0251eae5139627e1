/** Approvals, keys and workspaces through the SDK's client. What is sent is taken; what is answered is what it says that it is. */
import { randomUUID } from "node:crypto";
import type { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Send, TestApi } from "./testing-kit/api.js";
import { CALLBACK, clientApi } from "./testing-kit/client.js";

let api: TestApi;
let send: Send;
let rotor: Rotor;

beforeAll(async () => {
  ({ api, send, rotor } = await clientApi());
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

test("an approval is listed, decided once, and its job goes where it was decided", async () => {
  await rotor.queues.put("asked", { callbackUrl: CALLBACK, approvalRequired: true });
  const [one, two] = await rotor.jobs.enqueueBatch("asked", [{ payload: { a_b: 1 } }, { payload: 2 }]);
  const pending = (await rotor.approvals.list().page()).data;
  expect(pending).toMatchObject([
    { id: two!.id, status: "pending" },
    { id: one!.id, jobId: one!.id, queue: "asked", payload: { a_b: 1 }, expiresAt: expect.any(String) },
  ]);
  expect(await rotor.approvals.approve(one!.id)).toMatchObject({ id: one!.id, status: "approved" });
  expect(await rotor.approvals.reject(two!.id, { reason: "too dear" })).toMatchObject({ status: "rejected" });
  for (const { id } of [one!, two!]) await expect(rotor.approvals.approve(id)).rejects.toMatchObject({ status: 409 });
  expect(await rotor.jobs.get("asked", two!.id)).toMatchObject({
    state: "failed",
    error: { name: "RejectedError", message: "too dear" },
  });
  expect((await rotor.approvals.list({ status: "rejected" }).page()).data).toMatchObject([{ id: two!.id }]);
  expect(await rotor.dlq.replay({ filter: { queue: "asked" } })).toMatchObject({ replayed: 0 });
  expect((await rotor.jobs.retry("asked", two!.id)).state).toBe("pending_approval");
});

test("keys are made, shown once, listed and revoked", async () => {
  const made = await rotor.keys.create({ name: "ci", scopes: ["read", "read"], expiresIn: "90d" });
  expect(made).toMatchObject({
    key: expect.stringMatching(/^rt_ws_default_[\w-]{43}$/),
    scopes: ["read"],
    expiresAt: expect.any(String),
    revokedAt: null,
  });
  const { key: _, ...row } = made;
  expect((await rotor.keys.list().page()).data).toContainEqual(row);
  await rotor.keys.revoke(made.id);
  expect((await rotor.keys.list().page()).data.find(({ id }) => id === made.id)?.revokedAt).not.toBeNull();
  await expect(rotor.keys.revoke(randomUUID())).rejects.toMatchObject({ status: 404 });
  for (const body of [{ scopes: [] }, { scopes: ["root"] }, { expires_in: 90 }, { expires_in: "0s" }, { role: "x" }])
    expect((await send("POST", "/v1/keys", body)).status).toBe(422);
});

test("a workspace is made once, with a key that opens it and nothing else", async () => {
  const made = await rotor.workspaces.create("staging", { name: "Staging" });
  const there = (path: string) => api.anonymous("GET", path, undefined, { authorization: `Bearer ${made.key}` });
  expect((await there("/v1/queues")).json.data).toEqual([]);
  expect((await there("/v1/workspaces")).status).toBe(403);
  await expect(rotor.workspaces.create("staging")).rejects.toMatchObject({ status: 409 });
  expect((await rotor.workspaces.list().page()).data).toContainEqual({
    id: "staging",
    name: "Staging",
    createdAt: made.createdAt,
  });
  for (const id of ["", "A", "a_b", "-a", "x".repeat(41)])
    expect((await send("POST", "/v1/workspaces", { id })).status).toBe(422);
});
