/** What an attacker would write into whatever is shown, and what it must not do to a page. */
import { expect } from "vitest";
import type { Sight } from "./stage.js";

export const RUN = "window.pwned=1;alert(1)";
/** The list of the faults that are looked for, and some of the field's classics. */
export const HOSTILE = [
  `<script>${RUN}</script>`,
  `"><img src=x onerror="${RUN}">`,
  `<svg/onload=${RUN}>`,
  `javascript:${RUN}`,
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant for others to fill in.
  "{{7*7}}${7*7}#{7*7}<%= 7*7 %>",
  `'-${RUN}-'`,
  `</textarea></title><iframe srcdoc="<script>parent.${RUN}</script>">`,
  `<a href="javascript:${RUN}">x</a>`,
  "\u202Eexe.gpj\u202C \u2066right to left",
  `Z${"\u0301\u0322\u0336".repeat(40)}`,
  '=HYPERLINK("http://evil.example","x")',
  "__proto__",
];
export const all = HOSTILE.join(" ");
export const short = (index: number): string => HOSTILE[index % HOSTILE.length]!.slice(0, 60);

/** What stands out at the right, by its class and text. */
const TOO_WIDE = `document.documentElement.scrollWidth <= window.innerWidth ? [] :
  [...document.querySelectorAll("#root *")].filter((each) => each.getBoundingClientRect().right > window.innerWidth + 1)
    .slice(0, 5).map((each) => each.className + ": " + each.textContent.slice(0, 80))`;

/** Waits for what a page asks for (its stream stays open, so it is never idle), and opens whatever opens. */
async function openAll(page: Sight["page"]): Promise<void> {
  await page.locator("h1").first().waitFor();
  await page.waitForTimeout(400);
  await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
  await page.waitForTimeout(200);
}

/** Nothing of it is carried out, nothing breaks the page. */
export async function harmless({ page, faults }: Sight, path: string): Promise<void> {
  await openAll(page);
  expect(await page.evaluate("window.pwned"), path).toBeUndefined();
  expect(await page.locator("iframe, #root img, #root script, a[href^='javascript:' i]").count(), path).toBe(0);
  // What is not there is told by the server as 404, which the browser writes down.
  expect(
    faults.filter((fault) => !/status of 4\d\d/.test(fault)),
    path,
  ).toEqual([]);
  // Nothing makes a page wider than its window.
  expect(await page.evaluate(TOO_WIDE), path).toEqual([]);
}
