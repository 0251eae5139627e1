/** The run page: watched live, and each of its buttons, against a real server. */
import { createFunction, type RotorFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../server/src/testing-kit/server.js";
import { violationsOf } from "./accessibility.js";
import { openStage, PHONE, type Sight, type Stage, WIDE } from "./stage.js";
import { tell } from "./story.js";

let stage: Stage;
let ids: Awaited<ReturnType<typeof tell>>;
beforeAll(async () => {
  process.env.GUIDE_WARM_UP = "1500ms";
  stage = await openStage();
  ids = await tell(stage);
});
afterAll(() => stage.close());

const start = async (name: string, data: unknown): Promise<string> =>
  (await stage.server.rotor.send({ name, data })).runs[0]!;
const state = (page: Sight["page"], word: string) =>
  page
    .locator("header", { has: page.locator("h1") })
    .getByText(word, { exact: true })
    .waitFor();
const stepRow = (page: Sight["page"], key: string) =>
  page.getByRole("list", { name: "Steps" }).getByRole("button", { name: key });
const copied = (page: Sight["page"]): Promise<string> => page.evaluate("navigator.clipboard.readText()");
const reading = (id: string, what: string) =>
  eventually(`${id} ${what}`, async () => {
    const run = await stage.server.rotor.runs.get(id);
    return (run.reason ?? run.state) === what && run;
  });

test("the guide's workflow is watched: each step appears within a second, the awaited event is sent from the page, it completes", async () => {
  const { outreachSequence } = await import("../../../examples/guide/src/outreach.js");
  await stage.serveFunctions("guide", [outreachSequence as RotorFunction]);
  const runId = await start("contact.added", { contactId: "c-7" });
  const { page, faults, close } = await stage.open(`/runs/${runId}`);
  // A browser that has just been started takes its time to show a first page; what is watched is what comes after.
  await page.getByRole("list", { name: "Steps" }).waitFor();
  for (const key of ["fetch-profile", "warm-up", "send-email", "wait-open"]) {
    const stored = await eventually(`${key} stored`, async () =>
      (await stage.server.rotor.runs.get(runId)).steps?.some((step) => step.key === key),
    );
    expect(stored).toBe(true);
    await stepRow(page, key).waitFor({ timeout: 1_000 });
  }
  await state(page, "waits for event");
  await page.getByText(/It waits in wait-open for the event email.opened where/).waitFor();
  await page.getByRole("button", { name: "Send email.opened", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Send email.opened" });
  expect(JSON.parse(await dialog.getByLabel("Data, as JSON").inputValue())).toEqual({ contactId: "c-7" });
  await dialog.getByRole("button", { name: "Send" }).click();
  await stepRow(page, "send-followup").waitFor({ timeout: 3_000 });
  await state(page, "completed");
  expect(faults).toEqual([]);
  await close();
});

test("a step has an address of its own, with its attempts, times, error and stack", async () => {
  const { page, close } = await stage.open(`/runs/${ids.runs.failed}?step=push`);
  await page.getByRole("heading", { name: "push" }).waitFor();
  await page.getByText('The CRM refused the batch: field "vat_id" is required').first().waitFor();
  await page.getByText("Caused by TypeError").first().waitFor();
  await page.getByText("Stack").first().click();
  await page
    .getByText(/story\.ts/)
    .first()
    .waitFor();
  await stepRow(page, "load").click();
  await page.waitForURL(/step=load/);
  await page.keyboard.press("j");
  await page.waitForURL(/step=push/);
  await page.getByRole("button", { name: "Copy a link to this step" }).click();
  await page.getByText("The link is copied").waitFor();
  expect(await copied(page)).toBe(page.url());
  await close();
});

test("a wait tells which events did not match, and in what", async () => {
  const { page, close } = await stage.open(`/runs/${ids.runs.order}`);
  await page.getByText("events of that name did not match", { exact: false }).last().click();
  await page.getByText("in transit").waitFor();
  await stepRow(page, "receipt").click();
  const child = page.getByRole("term").filter({ hasText: "Child" }).locator("xpath=..").getByRole("link");
  await child.click();
  await page.getByRole("heading", { name: "send-receipt", level: 1 }).waitFor();
  await page.getByText("Invoked by").waitFor();
  await close();
});

test("a signal is completed from the page", async () => {
  const { page, close } = await stage.open(`/runs/${ids.runs.held}`);
  await page.getByRole("button", { name: "Complete the signal" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Data, as JSON").fill("{nonsense");
  await dialog.getByRole("button", { name: "Complete" }).click();
  await dialog.getByRole("alert").waitFor();
  await dialog.getByLabel("Data, as JSON").fill('{"approved":true}');
  await dialog.getByRole("button", { name: "Complete" }).click();
  await state(page, "completed");
  expect((await stage.server.rotor.runs.get(ids.runs.held)).output).toEqual({ approved: true });
  await close();
});

test("in development a sleep is skipped", async () => {
  const { page, close } = await stage.open(`/runs/${ids.runs.sleeping}?step=until-night`);
  await page.getByRole("button", { name: "Skip this sleep" }).click();
  await stepRow(page, "render").waitFor();
  await state(page, "completed");
  await close();
});

test("a run is cancelled, after it was asked for once more", async () => {
  const runId = await start("report.asked", {});
  await reading(runId, "sleeping");
  const { page, close } = await stage.open(`/runs/${runId}`);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Not now" }).click();
  expect((await stage.server.rotor.runs.get(runId)).state).toBe("waiting");
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await state(page, "cancelled");
  await close();
});

test("a run is replayed with other data, and from one of its steps", async () => {
  const runId = await start("contact.changed", { contactId: "c-1" });
  await reading(runId, "failed");
  const { page, close } = await stage.open(`/runs/${runId}`);
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page.getByLabel("Data of its event, as JSON").fill('{"contactId":"c-2"}');
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await page.waitForURL((url) => !url.pathname.endsWith(runId));
  await page.getByText("Replay of").waitFor();
  await page.getByText('"c-2"').waitFor();
  await state(page, "failed");
  await stepRow(page, "push").click();
  const before = page.url();
  await page.getByRole("button", { name: "Replay from here" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await page.waitForURL((url) => url.pathname !== new URL(before).pathname);
  await stepRow(page, "load").filter({ hasText: "copied" }).waitFor();
  await close();
});

test("a step that was tried again shows each attempt that failed, while it is and when it has ended", async () => {
  let isUp = false;
  const trying = createFunction({ id: "trying", trigger: { event: "try" }, retries: 60 }, async ({ step }) => {
    await step.run(
      "charge",
      ({ attempt }) => {
        if (attempt === 1) throw new TypeError("no card");
        if (!isUp) throw new Error("the bank is away", { cause: new Error("timed out") });
      },
      { backoff: ["10ms", "1s"] },
    );
  });
  await stage.serveFunctions("trying", [trying]);
  const runId = await start("try", {});
  const { page, faults, close } = await stage.open(`/runs/${runId}?step=charge`);
  const attempts = (title: string) =>
    page.locator("section", { has: page.getByRole("heading", { name: title }) }).getByRole("listitem");
  await attempts("Failed attempts").nth(1).filter({ hasText: "Caused by Error" }).waitFor();
  isUp = true;
  await state(page, "completed");
  await attempts("Earlier attempts").first().filter({ hasText: "Attempt 1" }).filter({ hasText: "no card" }).waitFor();
  expect(faults).toEqual([]);
  await close();
});

test("a failed run goes on where it failed, a held one when its code fits again", async () => {
  let isMended = false;
  const mending = createFunction({ id: "mending", trigger: { event: "mend" }, retries: 0 }, async ({ step }) => {
    await step.run("try", () => {
      if (!isMended) throw new Error("not yet");
    });
  });
  const before = createFunction({ id: "changing", trigger: { event: "change" } }, async ({ step }) => {
    await step.sleep("nap", "1h");
    return "as before";
  });
  const after = createFunction({ id: "changing", trigger: { event: "change" } }, async ({ step }) =>
    step.run("nap", () => 1),
  );
  await stage.serveFunctions("mending", [mending, before]);
  const failed = await start("mend", {});
  await reading(failed, "failed");
  const { page, close } = await stage.open(`/runs/${failed}`);
  isMended = true;
  await page.getByRole("button", { name: "Retry from the failure" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
  await state(page, "completed");

  const changing = await start("change", {});
  await reading(changing, "sleeping");
  await stage.serveFunctions("mending", [mending, after as RotorFunction]);
  await stage.server.rotor.runs.skip(changing, "nap");
  await reading(changing, "held");
  await page.goto(`/runs/${changing}`);
  await page.getByText(/It is held/).waitFor();
  await stage.serveFunctions("mending", [mending, before]);
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
  await state(page, "completed");
  await close();
});

test("a run is copied as a call, without a key in it", async () => {
  const { page, close } = await stage.open(`/runs/${ids.runs.order}`);
  const copyAs = async (name: string): Promise<string> => {
    await page.getByRole("button", { name: "More" }).click();
    await page.getByRole("menuitem", { name }).click();
    return copied(page);
  };
  const curl = await copyAs("Copy as curl");
  expect(curl).toContain(`curl -X POST '${stage.server.baseUrl}/v1/functions/fulfil-order/runs'`);
  expect(curl).toContain("$ROTOR_API_KEY");
  expect(await copyAs("Copy as SDK call")).toMatch(/^await rotor\.runs\.start\("fulfil-order", \{/);
  await close();
});

for (const [name, options] of [
  ["wide and dark", WIDE],
  ["a phone and light", PHONE],
] as const)
  test(`axe finds nothing against it, ${name}`, async () => {
    for (const path of [
      `/runs/${ids.runs.order}`,
      `/runs/${ids.runs.order}?step=carrier-scan`,
      `/runs/${ids.runs.failed}?step=push`,
    ]) {
      const { page, faults, close } = await stage.open(path, options);
      await page.getByRole("list", { name: "Steps" }).waitFor();
      await page.getByText("Deliveries").waitFor();
      expect(await violationsOf(page)).toEqual([]);
      expect(faults).toEqual([]);
      await close();
    }
  });
