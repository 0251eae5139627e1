/** What axe finds against a page. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

type Found = { violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] };

/** Its violations, each with the first elements that have it; none is what a page should have. */
export async function violationsOf(page: Page): Promise<string[]> {
  // What fades in is looked at when it stands.
  await page.waitForFunction(
    "document.getAnimations().every((each) => each.playState !== 'running' || each.effect.getComputedTiming().iterations === Infinity)",
  );
  await page.evaluate(source);
  const { violations } = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as Found;
  return violations.map(
    ({ id, impact, nodes }) =>
      `${impact}: ${id}: ${nodes
        .slice(0, 3)
        .map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`)
        .join(" | ")}`,
  );
}
