/**
 * The overview and the pages of what is defined, against a real server with 50,000 jobs and 5,000 runs: each loads on a wide
 * screen in the dark and on a phone in the light, axe finds nothing, and each button does what it says.
 */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../server/src/testing-kit/server.js";
import { violationsOf } from "./accessibility.js";
import { fill } from "./many.js";
import { openStage, PHONE, type Stage, WIDE } from "./stage.js";
import { tell } from "./story.js";

let stage: Stage;
let eventId: string;
beforeAll(async () => {
  stage = await openStage();
  await tell(stage);
  await fill(stage.server, { jobs: 50_000, runs: 5_000 });
  const { rotor } = stage.server;
  // It is gone when it is told the first time, and back when it is told again.
  let told = 0;
  const url = await stage.server.serve((request, response) => {
    request.resume().once("end", () => response.writeHead(told++ === 0 ? 410 : 200).end());
  });
  await rotor.schedules.create("digest", { queue: "emails", cron: "0 9 * * MON-FRI", timezone: "Europe/Stockholm" });
  await rotor.webhooks.create("ear", { url, types: ["run.failed"] });
  await rotor.webhooks.test("ear");
  await rotor.keys.create({ name: "of a program", scopes: ["read"] });
  await rotor.secrets.set("CRM_TOKEN", "long-enough");
  eventId = (await rotor.send({ name: "order.placed", data: { orderId: "o-9" } })).id;
}, 240_000);
afterAll(() => stage.close());

const view = async (path: string, options = WIDE) => {
  const sight = await stage.open(path, options);
  return { ...sight, rotor: stage.server.rotor };
};

const button = (page: Page, name: string | RegExp) =>
  page.getByRole("button", { name, exact: typeof name === "string" });
/** Not the toasts, which are dialogs, too. */
const dialog = (page: Page) => page.locator('[role="dialog"]:not([aria-modal="false"])');

/** The server has said no, and the dialog shows it; the browser writes a line of its own about that. */
async function refused(page: Page, faults: string[]): Promise<void> {
  await dialog(page).getByRole("alert").waitFor();
  await eventually("the browser's line", () => faults.length > 0);
  expect(faults.splice(0).filter((fault) => !/status of 4\d\d/.test(fault))).toEqual([]);
}

for (const [name, options] of [
  ["wide and dark", WIDE],
  ["a phone and light", PHONE],
] as const)
  test(`axe finds nothing against them, and no error is in the console, ${name}`, async () => {
    const views = [
      ["/", "heading", "Queues and functions"],
      ["/?window=24h", "heading", "Queues and functions"],
      ["/queues", "cell", "crm-export"],
      ["/queues/emails", "heading", "Newest jobs"],
      ["/functions", "cell", "fulfil-order"],
      ["/functions/fulfil-order", "heading", "Newest runs"],
      ["/schedules", "cell", "digest"],
      ["/events", "cell", "order.placed"],
      [`/events/${eventId}`, "heading", "Started 1 run"],
      ["/approvals", "button", "Approve"],
      ["/webhooks", "cell", "ear"],
      ["/webhooks/ear", "cell", "webhook.test"],
      ["/keys", "cell", "of a program"],
      ["/secrets", "cell", "CRM_TOKEN"],
      ["/audit", "cell", "secret.put"],
    ] as const;
    for (const [path, role, text] of views) {
      const { page, faults, close } = await view(path, options);
      await page.getByRole(role, { name: text }).first().waitFor();
      const width = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth");
      expect([path, width]).toEqual([path, 0]);
      expect(await violationsOf(page), path).toEqual([]);
      expect(faults, path).toEqual([]);
      await close();
    }
  }, 300_000);

describe("the overview", () => {
  test("says what is wrong, counts what there is, and leads to where it can be mended", async () => {
    const { page, close } = await view("/");
    await page.getByRole("heading", { name: /needs? a look/ }).waitFor();
    await page.getByRole("link", { name: "The queue “thumbnails” is paused, and work is due in it." }).waitFor();
    const dead = page.getByRole("link", { name: /^Dead letters/ }).filter({ hasText: "failed for good" });
    expect(Number(((await dead.textContent()) ?? "").replace(/\D/g, ""))).toBeGreaterThan(1_600);
    await page.getByRole("img", { name: /^Deliveries by minute: all: .* failed: / }).waitFor();
    await page.getByLabel("How far back").selectOption("24h");
    await page.waitForURL(/window=24h/);
    await page.getByRole("img", { name: /^Deliveries by 15 minutes/ }).waitFor();
    await page
      .getByRole("link", { name: /thumbnails/ })
      .first()
      .click();
    await page.waitForURL(/\/queues\/thumbnails$/);
    await close();
  });

  test("moves by itself while one looks", async () => {
    const { page, rotor, close } = await view("/");
    const approvals = page.getByRole("link", { name: /Approvals/ }).filter({ hasText: /person|nobody/ });
    await approvals.waitFor();
    const before = await approvals.textContent();
    await rotor.jobs.enqueue("refunds", { payload: { orderId: "o-7", amount: 1 } });
    await eventually("another figure", async () => (await approvals.textContent()) !== before);
    await close();
  });
});

test("a queue is made, given limits and a job, paused, resumed, drained and deleted", async () => {
  const { page, rotor, faults, close } = await view("/queues");
  await button(page, "New queue").click();
  await dialog(page).getByLabel("Name").fill("by-hand");
  await button(page, "Make it").click();
  await page.waitForURL(/\/queues\/by-hand$/);
  await page.getByText("no URL").first().waitFor();

  await button(page, "Limits").click();
  await dialog(page).getByLabel("Deliveries at a time").fill("3");
  await dialog(page).getByLabel("Rate limit").fill("5");
  await button(page, "Save").click();
  await dialog(page).getByRole("alert").filter({ hasText: "write both" }).waitFor();
  await dialog(page).getByLabel("In a period of").fill("1s");
  await button(page, "Save").click();
  await dialog(page).waitFor({ state: "hidden" });
  expect(await rotor.queues.get("by-hand")).toMatchObject({ concurrency: 3, rateLimit: { limit: 5, period: "1s" } });

  await button(page, "Enqueue").click();
  await dialog(page).getByLabel("Payload").fill("{nonsense");
  await dialog(page).getByRole("button", { name: "Enqueue" }).click();
  await dialog(page).getByRole("alert").filter({ hasText: "not JSON" }).waitFor();
  await dialog(page).getByLabel("Payload").fill('{"n": 1}');
  await dialog(page).getByRole("button", { name: "Enqueue" }).click();
  await page.waitForURL(/\/jobs\//);
  await page.goBack();

  await button(page, "Pause").click();
  await button(page, "Resume").waitFor();
  expect((await rotor.queues.get("by-hand")).pausedAt).not.toBeNull();
  await button(page, "Resume").click();
  await button(page, "Pause").waitFor();

  await button(page, "More").click();
  await page.getByRole("menuitem", { name: /^Drain/ }).click();
  await dialog(page).getByText("1 job that waits will be cancelled").waitFor();
  await button(page, "Cancel them").click();
  await dialog(page).waitFor({ state: "hidden" });
  await page.getByRole("cell", { name: "cancelled" }).waitFor();

  await button(page, "More").click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await button(page, "Delete it").click();
  await page.waitForURL(/\/queues$/);
  await expect(rotor.queues.get("by-hand")).rejects.toMatchObject({ status: 404 });
  expect(faults).toEqual([]);
  await close();
});

test("queues are found by their names, which stand in the address, and opened by the keyboard", async () => {
  const { page, close } = await view("/queues");
  await page.getByRole("cell", { name: "emails" }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("crm");
  await page.waitForURL(/q=crm/);
  await page.getByRole("cell", { name: "emails" }).waitFor({ state: "hidden" });
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/queues\/crm-export$/);
  await close();
});

test("a schedule is made, run, paused, resumed and deleted; its next fires are told", async () => {
  const { page, rotor, faults, close } = await view("/schedules");
  await button(page, "New schedule").click();
  await dialog(page).getByLabel("Name", { exact: true }).fill("hourly");
  await dialog(page).getByLabel("Its name").fill("emails");
  await dialog(page).getByLabel("Cron").fill("61 * * * *");
  await button(page, "Make it").click();
  await refused(page, faults);
  await dialog(page).getByLabel("Cron").fill("0 * * * *");
  await button(page, "Make it").click();
  await dialog(page).waitFor({ state: "hidden" });
  const row = page.getByRole("row").filter({ hasText: "hourly" });
  expect((await row.locator("span[title]").first().getAttribute("title"))!.split("\n")).toHaveLength(5);
  const newest = async () => (await rotor.jobs.list("emails", { limit: 1 }).page()).data[0]!.id;
  const before = await newest();
  await button(page, "Run hourly now").click();
  await eventually("the job", async () => (await newest()) !== before);
  for (const [verb, isPaused] of [
    ["Pause", true],
    ["Resume", false],
  ] as const) {
    await button(page, "More for hourly").click();
    await page.getByRole("menuitem", { name: verb }).click();
    await eventually(verb, async () => ((await rotor.schedules.get("hourly")).pausedAt !== null) === isPaused);
  }
  await button(page, "More for hourly").click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await button(page, "Delete it").click();
  await dialog(page).waitFor({ state: "hidden" });
  await row.waitFor({ state: "hidden" });
  expect(faults).toEqual([]);
  await close();
});

test("an app is read again, a function is paused, resumed and started", async () => {
  const { page, rotor, faults, close } = await view("/functions");
  const before = (await rotor.apps.list().page()).data[0]!;
  await button(page, "Read the functions of shop again").click();
  await eventually("another look", async () => (await rotor.apps.list().page()).data[0]!.syncedAt !== before.syncedAt);
  await button(page, "Add an app").click();
  await dialog(page)
    .getByRole("textbox", { name: /^Address/ })
    .fill("http://127.0.0.1:1/api/rotor");
  await button(page, "Read its functions").click();
  await refused(page, faults);
  await dialog(page)
    .getByRole("textbox", { name: /^Address/ })
    .fill(before.url);
  await button(page, "Read its functions").click();
  await page.getByText("shop serves 5 functions").waitFor();

  await page.getByRole("link", { name: "publish-post" }).click();
  await page.getByText("post.written").first().waitFor();
  await button(page, "Pause").click();
  await button(page, "Resume").click();
  await button(page, "Pause").waitFor();
  await button(page, "Start a run").click();
  await dialog(page).getByLabel("Data").fill('{"slug": "by-hand"}');
  await button(page, "Start it").click();
  await page.waitForURL(/\/runs\//);
  expect(faults).toEqual([]);
  await close();
});

test("an event is sent from the page, and its page tells what it started", async () => {
  const { page, faults, close } = await view("/events");
  await button(page, "Send an event").click();
  await dialog(page).getByLabel("Name").fill("post.written");
  await dialog(page).getByLabel("Data").fill('{"slug": "from-the-page"}');
  await button(page, "Send it").click();
  await page.getByRole("heading", { name: "Started 1 run" }).waitFor();
  await page.getByRole("link", { name: /publish-post/ }).waitFor();
  await button(page, "Send one like it").click();
  expect(await dialog(page).getByLabel("Data").inputValue()).toContain("from-the-page");
  await button(page, "Not now").click();
  await page.goto("/events?name=parcel.scanned");
  await page.getByRole("cell", { name: "parcel.scanned" }).first().waitFor();
  expect(await page.getByRole("cell", { name: "order.placed" }).count()).toBe(0);
  expect(faults).toEqual([]);
  await close();
});

test("a job is approved, another is turned down, and both stand where they belong", async () => {
  const { page, rotor, faults, close } = await view("/approvals");
  await rotor.jobs.enqueue("refunds", { jobId: "refund-no", payload: { orderId: "o-no" } });
  await page.getByText("o-no").waitFor();
  const card = page.getByRole("listitem").filter({ hasText: "o-no" });
  await card.getByRole("button", { name: "Reject" }).click();
  await dialog(page).getByLabel("Reason").fill("paid already");
  await dialog(page).getByRole("button", { name: "Reject" }).click();
  await card.waitFor({ state: "hidden" });
  const other = page.getByRole("listitem").filter({ hasText: "o-1042" });
  await other.getByRole("button", { name: "Approve" }).click();
  await dialog(page).getByRole("button", { name: "Approve" }).click();
  await other.waitFor({ state: "hidden" });
  await page.getByLabel("Status").selectOption("rejected");
  await page.getByText("paid already").first().waitFor();
  await page.getByLabel("Status").selectOption("approved");
  await page.getByText("o-1042").waitFor();
  expect(faults).toEqual([]);
  await close();
});

test("a webhook is made, shows its secret once, is tested, changed, told again and deleted", async () => {
  const { page, rotor, faults, close } = await view("/webhooks");
  const url = (await rotor.queues.get("emails")).callbackUrl!;
  await button(page, "New webhook").click();
  await dialog(page).getByLabel("Name").fill("by-hand");
  await dialog(page).getByLabel("URL").fill(url);
  await dialog(page).getByLabel("Queues that are drained").uncheck();
  await button(page, "Make it").click();
  await dialog(page)
    .getByText(/^whsec_/)
    .waitFor();
  await button(page, "I have it").click();
  await page.getByRole("link", { name: "by-hand" }).click();
  await page.getByRole("heading", { name: "by-hand" }).waitFor();
  expect(await page.content()).not.toContain("whsec_");
  await button(page, "Send a test").click();
  await page.getByRole("row").filter({ hasText: "webhook.test" }).filter({ hasText: "completed" }).waitFor();
  await button(page, "Change").click();
  await dialog(page).getByLabel("Jobs and runs that complete").uncheck();
  await button(page, "Save").click();
  await dialog(page).waitFor({ state: "hidden" });
  expect((await rotor.webhooks.get("by-hand")).types).not.toContain("run.completed");
  await button(page, "More").click();
  await page.getByRole("menuitem", { name: "Give it another secret" }).click();
  await button(page, "Make one").click();
  await dialog(page)
    .getByText(/^whsec_/)
    .waitFor();
  await button(page, "I have it").click();
  await button(page, "More").click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await button(page, "Delete it").click();
  await page.waitForURL(/\/webhooks$/);
  expect(faults).toEqual([]);
  await close();
});

test("what a webhook did not get is delivered again", async () => {
  const { page, faults, close } = await view("/webhooks/ear");
  await page.getByRole("row").filter({ hasText: "webhook.test" }).filter({ hasText: "failed" }).waitFor();
  await button(page, "Deliver this webhook.test again").click();
  await page.getByRole("row").filter({ hasText: "webhook.test" }).filter({ hasText: "completed" }).waitFor();
  await page.getByLabel("State").selectOption("failed");
  await page.getByRole("heading", { name: "Nothing is like this" }).waitFor();
  expect(faults).toEqual([]);
  await close();
});

test("a key is made, shown once, rotated and revoked", async () => {
  const { page, rotor, faults, close } = await view("/keys");
  await button(page, "New key").click();
  await dialog(page).getByLabel("Name").fill("by hand");
  await dialog(page)
    .getByRole("checkbox", { name: /^write/ })
    .uncheck();
  await button(page, "Make it").click();
  await dialog(page)
    .getByText(/^rt_ws_default_/)
    .waitFor();
  await button(page, "I have it").click();
  expect(await page.content()).not.toMatch(/rt_ws_default_[A-Za-z0-9_-]{20}/);
  const mine = async () => (await rotor.keys.list().page()).data.filter((key) => key.name === "by hand");
  expect(await mine()).toMatchObject([{ scopes: ["read"], revokedAt: null }]);
  await button(page, "More for by hand").click();
  await page.getByRole("menuitem", { name: "Revoke" }).click();
  await button(page, "Revoke it").click();
  await page.getByRole("row").filter({ hasText: "by hand" }).filter({ hasText: "revoked" }).waitFor();
  expect((await mine())[0]!.revokedAt).not.toBeNull();
  await button(page, "More for of a program").click();
  await page.getByRole("menuitem", { name: "Rotate" }).click();
  await button(page, "Make the new one").click();
  await dialog(page)
    .getByText(/^rt_ws_default_/)
    .waitFor();
  await button(page, "I have it").click();
  expect(faults).toEqual([]);
  await close();
});

test("a secret is set, replaced and deleted, and never shown", async () => {
  const { page, rotor, faults, close } = await view("/secrets");
  await button(page, "New secret").click();
  await dialog(page).getByLabel("Name").fill("BY_HAND");
  await dialog(page).getByLabel("Value").fill("never-to-be-seen");
  await button(page, "Set it").click();
  await page.getByRole("cell", { name: "BY_HAND", exact: true }).waitFor();
  expect(await page.content()).not.toContain("never-to-be-seen");
  await button(page, "Replace BY_HAND").click();
  await dialog(page).getByLabel("Value").fill("another-value");
  await button(page, "Set it").click();
  await dialog(page).waitFor({ state: "hidden" });
  await button(page, "Delete BY_HAND").click();
  await button(page, "Delete it").click();
  // While the dialog is open nothing behind it can be seen by role.
  await dialog(page).waitFor({ state: "hidden" });
  await page.getByRole("cell", { name: "BY_HAND", exact: true }).waitFor({ state: "hidden" });
  expect((await rotor.secrets.list().page()).data.map(({ name }) => name)).toEqual(["CRM_TOKEN"]);
  expect(faults).toEqual([]);
  await close();
});

test("the audit is filtered, and comes as CSV", async () => {
  const { page, close } = await view("/audit?action=secret.put");
  await page.getByRole("cell", { name: "CRM_TOKEN" }).first().waitFor();
  expect(await page.getByRole("cell", { name: "queue.put" }).count()).toBe(0);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: /^CSV/ }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("audit.csv");
  await close();
});
