/** Makes the README's pictures. Not a test: `npm run screenshots` runs it as one, since the stage is the tests'. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "vitest";
import { openStage, PHONE, WIDE } from "./stage.js";
import { tell } from "./story.js";

const FOLDER = fileURLToPath(new URL("../../../docs/screenshots/", import.meta.url));

test("pictures", { timeout: 300_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true });
  const stage = await openStage();
  const { runs, jobs } = await tell(stage);
  const pictures = [
    ["run", `/runs/${runs.order}?step=carrier-scan`, WIDE],
    ["run-failed", `/runs/${runs.failed}?step=push`, WIDE],
    ["runs", "/runs", WIDE],
    ["job", `/jobs/${jobs.crm}`, WIDE],
    ["dead-letters", "/dead-letters", WIDE],
    ["run-phone", `/runs/${runs.order}`, PHONE],
    ["jobs-phone", "/jobs", PHONE],
  ] as const;
  for (const [name, path, options] of pictures) {
    const { page, close } = await stage.open(path, options);
    await page.waitForLoadState("networkidle", { timeout: 3_000 }).catch(() => undefined);
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${FOLDER}${name}.png` });
    await close();
  }
  await stage.close();
});
