/** Makes the README's pictures. Not a test: `npm run screenshots` runs it as one, since the stage is the tests'. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "vitest";
import { fill } from "./many.js";
import { openStage, PHONE, WIDE } from "./stage.js";
import { tell } from "./story.js";

const FOLDER = fileURLToPath(new URL("../../../docs/screenshots/", import.meta.url));

/** A little smaller than a test's window: the README shows it smaller still. */
const PICTURE = { ...WIDE, viewport: { width: 1240, height: 760 } };

test("pictures", { timeout: 300_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true });
  const stage = await openStage();
  const { runs, jobs } = await tell(stage);
  // An hour of a busy server behind it, so that its charts have something to tell.
  await fill(stage.server, { jobs: 5_000, runs: 500 });
  const pictures = [
    ["overview", "/", PICTURE],
    ["run", `/runs/${runs.order}?step=carrier-scan`, PICTURE],
    ["job", `/jobs/${jobs.crm}`, PICTURE],
    ["dead-letters", "/dead-letters", PICTURE],
    ["run-phone", `/runs/${runs.order}`, PHONE],
    ["jobs-phone", "/jobs", PHONE],
  ] as const;
  for (const [name, path, options] of pictures) {
    const { page, close } = await stage.open(path, options);
    await page.locator("h1").first().waitFor();
    await page.waitForTimeout(800);
    await page.screenshot({ path: `${FOLDER}${name}.png` });
    await close();
  }
  await stage.close();
});
