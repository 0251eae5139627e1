/** `npm run test:dashboard`: tests that need a Chromium, apart from `npm test`, which runs everywhere. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  resolve: { conditions: ["rotor-source", "node"] },
  ssr: { resolve: { conditions: ["rotor-source", "node"] } },
  test: {
    include: ["packages/dashboard/browser/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
    globalSetup: ["packages/server/src/testing-kit/global-setup.ts"],
  },
});
