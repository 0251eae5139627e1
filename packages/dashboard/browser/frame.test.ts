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
