/** Signals: completed early, by a link in a mail, and by nobody who only looks. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
  await faultyApp(server, "approvals", [approval]);
});
afterAll(() => server.close());

const approval = createFunction({ id: "approval" }, async ({ event, step }) =>
  step.waitForSignal("ok", { signal: event.data.signal, timeout: "7d" }),
);
const start = async (signal: string) => (await server.rotor.runs.start(approval, { signal })).runId;
const waits = (runId: string) =>
  eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === "signal");

test("a signal that comes before its wait is kept on request, once, and given to the wait at once", async () => {
  await expect(server.rotor.signals.complete("early", 1)).rejects.toMatchObject({
    status: 404,
    message: expect.stringContaining("buffer_for"),
  });
  const kept = await server.rotor.signals.complete("early", { by: "me" }, { bufferFor: "1h" });
  expect(kept).toMatchObject({ buffered: true, until: expect.stringMatching(/Z$/) });
  await expect(server.rotor.signals.complete("early", 2, { bufferFor: "1h" })).rejects.toMatchObject({ status: 409 });
  expect(await server.rotor.runs.result(await start("early"))).toEqual({ by: "me" });
  const next = await start("early");
  await waits(next);
  expect(await server.rotor.signals.complete("early", 3, { bufferFor: "1h" })).toEqual({ runId: next });
});

test("a hundred completions at once are one, and the others are told that nobody waits", async () => {
  const runId = await start("crowded");
  await waits(runId);
  const ends = await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      server.rotor.signals.complete("crowded", n).then(
        () => n,
        (error: { status?: number }) => `${error.status}`,
      ),
    ),
  );
  const won = ends.filter((end) => typeof end === "number");
  expect([won.length, new Set(ends.filter((end) => typeof end !== "number"))]).toEqual([1, new Set(["404"])]);
  expect(await server.rotor.runs.result(runId)).toBe(won[0]);
});

test.each([
  ["1 year and more", "early", { buffer_for: "400d" }, /^buffer_for: .*366d|365d/],
  ["a bare number", "early", { buffer_for: 60 }, /"60s"/],
  ["an id that is too long", "x".repeat(301), { buffer_for: "1h" }, /at most 300 characters/],
])("keeping one for %s is refused with what to write", async (_, id, body, message) => {
  const answer = await fetch(`${server.baseUrl}/v1/signals/${id}/complete`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect([answer.status, ((await answer.json()) as { error: { message: string } }).error.message]).toEqual([
    422,
    expect.stringMatching(message),
  ]);
});

describe("a link to a signal", () => {
  const HOSTILE = `<script>alert(1)</script>"&'`;

  test("shows a page that completes nothing by being looked at, and completes it once by its button", async () => {
    const runId = await start(HOSTILE);
    await waits(runId);
    const url = await server.rotor.signals.url(HOSTILE, { expires: "7d", data: { ok: "</pre><b>" } });
    expect(url).toMatch(new RegExp(`^${server.baseUrl}/links/[\\w.-]+$`));
    for (const method of ["GET", "HEAD", "GET"]) {
      const page = await fetch(url, { method });
      const text = await page.text();
      expect([page.status, page.headers.get("cache-control")]).toEqual([200, "no-store"]);
      expect(page.headers.get("content-security-policy")).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
      );
      expect(text).not.toMatch(/<script|<b>/);
      if (method === "GET")
        expect(text).toContain("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;&#39;</strong>. With this button");
    }
    expect((await server.rotor.runs.get(runId)).reason).toBe("signal");
    const done = await fetch(url, { method: "POST", body: new URLSearchParams() });
    expect([done.status, await done.text()]).toEqual([200, expect.stringContaining("is completed")]);
    expect(await server.rotor.runs.result(runId)).toEqual({ ok: "</pre><b>" });
    const again = await fetch(url, { method: "POST" });
    expect([again.status, await again.text()]).toEqual([409, expect.stringContaining("Already completed")]);
    expect(await (await fetch(url)).text()).not.toContain("<form");
  });

  test("may be followed before its run waits", async () => {
    const url = await server.rotor.signals.url("faster", { expires: "1h" });
    expect((await fetch(url, { method: "POST" })).status).toBe(200);
    expect(await server.rotor.runs.result(await start("faster"))).toBeNull();
  });

  test("that is forged is 404, that has expired 410, and neither completes anything", async () => {
    const runId = await start("guarded");
    await waits(runId);
    const url = await server.rotor.signals.url("guarded", { expires: "1h" });
    const [body, signature] = url.slice(url.lastIndexOf("/") + 1).split(".");
    const changed = Buffer.from(body!, "base64url").toString().replace("guarded", "another");
    const forged = `${server.baseUrl}/links/${Buffer.from(changed).toString("base64url")}.${signature}`;
    for (const each of [forged, url.slice(0, -1), `${url}x`, `${server.baseUrl}/links/x`])
      for (const method of ["GET", "POST"]) expect((await fetch(each, { method })).status).toBe(404);
    try {
      await server.shiftClock(3_700_000);
      for (const method of ["GET", "POST"]) {
        const page = await fetch(url, { method });
        expect([page.status, await page.text()]).toEqual([410, expect.stringContaining("has expired")]);
      }
    } finally {
      await server.shiftClock(0);
    }
    expect((await server.rotor.runs.get(runId)).reason).toBe("signal");
  });

  test("has no room for much data, and says so", async () => {
    await expect(server.rotor.signals.url("big", { expires: "1h", data: "x".repeat(1_000) })).rejects.toMatchObject({
      status: 422,
      message: expect.stringContaining("room for 500"),
    });
  });
});
