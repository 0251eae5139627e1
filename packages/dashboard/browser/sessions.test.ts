/** Logins: by a key, kept in a cookie that no script sees, ended with the key; and what a key's scopes do not allow is not offered. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type StrictServer, strictServer } from "../../server/src/stories/testing-kit/strict-server.js";
import { eventually } from "../../server/src/testing-kit/server.js";
import { violationsOf } from "./accessibility.js";
import { openWindow, PHONE, type Sight, WIDE } from "./stage.js";

let server: StrictServer;
let window: ReturnType<typeof openWindow>;
let job: string;
beforeAll(async () => {
  server = await strictServer();
  window = openWindow(server.baseUrl);
  const url = await server.serve((_, response) => response.writeHead(422).end("no"));
  await server.rotor.queues.create("letters", { callbackUrl: url, retry: { maxAttempts: 1 } });
  job = (await server.rotor.jobs.enqueue("letters", { jobId: "letter-1" })).id;
  await eventually("its failure", async () => (await server.rotor.jobs.get("letters", job)).state === "failed");
});
afterAll(async () => {
  await window.close();
  await server.close();
});

async function logIn(page: Sight["page"], key: string): Promise<void> {
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Log in" }).click();
}

for (const [name, options] of [
  ["wide and dark", WIDE],
  ["a phone and light", PHONE],
] as const)
  test(`who has no login is asked for a key, and comes to where he wanted to go, ${name}`, async () => {
    const { page, close } = await window.open("/dead-letters?queue=letters", options);
    await page.waitForURL(/\/login/);
    expect(await violationsOf(page)).toEqual([]);
    await logIn(page, server.key);
    await page.waitForURL("**/dead-letters?queue=letters");
    await page.getByRole("cell", { name: "letters", exact: true }).waitFor();
    // Neither the key nor anything like it is where a script could read it.
    expect(
      await page.evaluate("document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })"),
    ).not.toContain("rt_ws");
    expect(await page.evaluate("document.cookie")).toBe("");
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" });
    await close();
  });

test("a wrong key is told as one", async () => {
  const { page, close } = await window.open("/login");
  await logIn(page, "rt_ws_default_wrong");
  await page.getByRole("alert").getByText("not a valid API key", { exact: false }).waitFor();
  await close();
});

test("who may only read is offered nothing else", async () => {
  const { page, faults, close } = await window.open(`/login?to=/jobs/${job}`);
  await logIn(page, await server.keyOf("default", ["read"]));
  await page.getByRole("heading", { name: "letter-1" }).waitFor();
  await page.getByText("It failed for good", { exact: false }).waitFor();
  for (const name of ["Retry", "Cancel", "Approve"])
    expect(await page.getByRole("button", { name, exact: true }).count()).toBe(0);
  await page.goto("/dead-letters");
  await page.getByRole("cell", { name: "letters", exact: true }).waitFor();
  expect(await page.getByRole("button", { name: /Retry|Remove/ }).count()).toBe(0);
  expect(await page.getByRole("checkbox").count()).toBe(0);
  expect(faults.filter((fault) => !/401/.test(fault))).toEqual([]);
  await close();
});

test("a login ends by itself with its key, and by hand; then a key is asked for again", async () => {
  const key = await server.keyOf("default", ["read", "write"]);
  const { page, close } = await window.open("/login");
  await logIn(page, key);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(/\/login/);
  await page.goto("/jobs");
  await page.waitForURL(/\/login/);
  await logIn(page, key);
  await page.getByRole("cell", { name: "letter-1" }).waitFor();
  for await (const each of server.rotor.keys.list())
    if (!each.scopes.includes("admin")) await server.rotor.keys.revoke(each.id);
  // What is asked for next is refused: the page says so by asking for a key.
  await page.waitForURL(/\/login/, { timeout: 30_000 });
  await close();
});

test("another workspace's key sees nothing of this one", async () => {
  const { page, close } = await window.open(`/login?to=/jobs/${job}`);
  await logIn(page, await server.keyOf("other", ["admin"]));
  await page.getByText("It is not here").waitFor();
  await close();
});
