/** The frame of every page: it loads without a complaint, is told who looks, is dark or light, goes by the keyboard. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { violationsOf } from "./accessibility.js";
import { openStage, PHONE, type Stage, WIDE } from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

for (const [name, options] of [
  ["a wide screen in the dark", WIDE],
  ["a phone in the light", PHONE],
] as const)
  test(`the page loads on ${name}, without an error in the console`, async () => {
    const { page, faults, close } = await stage.open("/", options);
    await page.getByRole("heading", { name: "Nothing to watch yet" }).waitFor();
    expect(await page.title()).toBe("Overview · Rotor");
    expect(await page.evaluate("document.documentElement.dataset.theme")).toBe(options.colorScheme);
    expect(await violationsOf(page)).toEqual([]);
    expect(faults).toEqual([]);
    await close();
  });

test("the stream tells that the page is live", async () => {
  const { page, close } = await stage.open("/runs");
  await page.getByRole("status").filter({ hasText: "Live" }).first().waitFor();
  await close();
});

test("`?` tells the keys, `/` goes to the filter, which stands in the address", async () => {
  const { page, close } = await stage.open("/runs");
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.keyboard.press("/");
  await page.keyboard.type("contact.added");
  await page.keyboard.press("Enter");
  await page.waitForURL(/event=contact.added/);
  await page.reload();
  expect(await page.getByLabel("Event that started it").inputValue()).toBe("contact.added");
  await close();
});

test("the theme that was chosen stays", async () => {
  const { page, close } = await stage.open("/runs");
  await page.getByRole("button", { name: "Light theme" }).click();
  await page.reload();
  await page.getByRole("button", { name: "Dark theme" }).waitFor();
  expect(await page.evaluate("document.documentElement.dataset.theme")).toBe("light");
  await close();
});

test("whatever has an id or a name is found, and gone to", async () => {
  const { rotor } = stage.server;
  await rotor.queues.put("find-me", {});
  const { id } = await rotor.jobs.enqueue("find-me", { jobId: "order-77" });
  const { page, faults, close } = await stage.open("/runs");
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await page.keyboard.press("f");
  const dialog = page.getByRole("dialog", { name: "Find" });
  await dialog.getByRole("textbox").fill("nothing-of-this-name");
  await dialog.getByText("Nothing here has it.").waitFor();
  await dialog.getByRole("textbox").fill("order-77");
  await dialog.getByRole("link", { name: /Job order-77 find-me/ }).waitFor();
  expect(await violationsOf(page)).toEqual([]);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/jobs/${id}`);
  await page.keyboard.press("f");
  await page.getByRole("dialog", { name: "Find" }).getByRole("textbox").fill("find-me");
  await page.getByRole("link", { name: /Queue find-me/ }).click();
  await page.waitForURL("**/queues/find-me");
  expect(faults).toEqual([]);
  await close();
});
