/** `npm run screenshots`: the README's pictures, of the story that the browser tests tell. */
import { mergeConfig } from "vitest/config";
import browser from "./vitest.browser.js";

const config = mergeConfig(browser, {});
config.test = { ...config.test, include: ["packages/dashboard/browser/screenshots.ts"] };
export default config;
