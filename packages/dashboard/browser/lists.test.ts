/** Lists of runs, jobs and dead letters; a job's page: against a real server with a story in it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../server/src/testing-kit/server.js";
import { violationsOf } from "./accessibility.js";
import { openStage, PHONE, type Stage, WIDE } from "./stage.js";
import { tell } from "./story.js";

let stage: Stage;
let ids: Awaited<ReturnType<typeof tell>>;
beforeAll(async () => {
  stage = await openStage();
  ids = await tell(stage);
});
afterAll(() => stage.close());

for (const [name, options] of [
  ["wide and dark", WIDE],
  ["a phone and light", PHONE],
] as const)
  test(`axe finds nothing against them, and no error is in the console, ${name}`, async () => {
    const views = [
      ["/runs", "fulfil-order"],
      ["/jobs", "crm-export"],
      [`/jobs/${ids.jobs.crm}`, "export-2026-11"],
      [`/jobs/${ids.jobs.refund}`, "refund-1042"],
      ["/dead-letters", "letters"],
    ] as const;
    for (const [path, text] of views) {
      const { page, faults, close } = await stage.open(path, options);
      await page
        .getByRole(path.split("/").length > 2 ? "heading" : "cell", { name: text })
        .first()
        .waitFor();
      expect(await violationsOf(page), path).toEqual([]);
      expect(faults, path).toEqual([]);
      await close();
    }
  });

test("rows are gone through by keys, and opened", async () => {
  const { page, close } = await stage.open("/jobs?queue=letters");
  await page.getByRole("cell", { name: "letter-frances" }).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/jobs\/.+/);
  await page.getByRole("heading", { name: "letter-donald" }).waitFor();
  await close();
});

test("filters stand in the address, and are taken away at once", async () => {
  const { page, close } = await stage.open("/jobs");
  await page.getByLabel("State").selectOption("failed");
  await page.waitForURL(/state=failed/);
  await page.getByLabel("Tag").fill("reprint");
  await page.waitForURL(/tag=reprint/);
  await page.getByRole("button", { name: "Time" }).click();
  await page.getByRole("button", { name: "Last hour" }).click();
  await page.waitForURL(/after=/);
  await eventually("three letters", async () => (await page.getByRole("row").count()) === 4);
  await page.getByRole("button", { name: "Clear" }).click();
  await page.waitForURL((url) => url.search === "");
  await page.getByRole("cell", { name: "export-2026-11" }).waitFor();
  await close();
});

test("a job tells in words why it waits, shows each attempt with its heads and times, and is tried again now", async () => {
  const { page, close } = await stage.open(`/queues/crm-export/jobs/${ids.jobs.crm}`);
  await page.waitForURL(`**/jobs/${ids.jobs.crm}`);
  await page.getByText(/Attempt 4 of 5 follows/).waitFor();
  await page
    .getByText(/The endpoint answered 503: upstream connect error/)
    .first()
    .waitFor();
  expect(await page.getByText(/^Attempt [123]/).count()).toBe(3);
  for (const text of ["HTTP 503", "x-rotor-signature"]) await page.getByText(text, { exact: true }).first().waitFor();
  for (const part of [/^queue \d/, /^connect \d/, /^wait \d/, /^read \d/])
    await page.getByRole("listitem").filter({ hasText: part }).first().waitFor();
  await page.getByRole("button", { name: "Try again now" }).click();
  await page
    .getByText(/^Attempt 1/)
    .first()
    .waitFor();
  await eventually("a fourth attempt", async () => (await page.getByText(/^Attempt [1-9]/).count()) >= 4);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("button", { name: "Cancel the job" }).click();
  await page.getByText("cancelled", { exact: true }).first().waitFor();
  await close();
});

test("a job is approved on its page", async () => {
  const { page, close } = await stage.open(`/jobs/${ids.jobs.refund}`);
  await page.getByText(/It waits for somebody to approve it/).waitFor();
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
  await page.getByText("completed", { exact: true }).first().waitFor();
  await close();
});

test("dead letters are counted before they are retried, at a rate; chosen ones are removed", async () => {
  const { page, close } = await stage.open("/dead-letters?queue=letters");
  await page.getByRole("button", { name: "Retry all of these" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("6 dead letters will wait again", { exact: false }).waitFor();
  await dialog.getByLabel("Rate").fill("6 an hour");
  await dialog.getByText("Write it as 10/s, 100/m or 500/h.").waitFor();
  await dialog.getByLabel("Rate").fill("60/h");
  await dialog.getByText("The last of them is due in 6 min.").waitFor();
  await dialog.getByRole("button", { name: "Retry 6" }).click();
  await dialog.getByText("6 dead letters wait again.").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await eventually("waiting letters", async () => {
    const { data } = await stage.server.rotor.jobs.list("letters", { state: "waiting" }).page();
    return data.length >= 5;
  });

  await page.goto("/dead-letters?queue=sync-crm");
  await page.getByRole("checkbox").first().check();
  await page.getByRole("button", { name: "Remove 1 chosen one" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove for good" }).click();
  await page
    .getByText(/removed|stay/)
    .first()
    .waitFor();
  await close();
});

test("one goes from page to page, and back, without a fresh start", async () => {
  const { page, faults, close } = await stage.open("/");
  const pages = [
    "Queues",
    "Jobs",
    "Functions",
    "Runs",
    "Webhooks",
    "Dead letters",
    "Schedules",
    "Events",
    "Approvals",
    "Keys",
    "Secrets",
    "Audit",
    "Overview",
  ];
  const nav = page.getByRole("navigation", { name: "Pages" });
  for (const name of [...pages, ...pages.toReversed()]) {
    await nav.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { name, exact: true, level: 1 }).waitFor();
    await page.waitForTimeout(150);
    expect(await page.getByRole("alert").count(), name).toBe(0);
  }
  expect(faults).toEqual([]);
  await close();
});
