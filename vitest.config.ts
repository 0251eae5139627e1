import { defineConfig } from "vitest/config";

const server = "packages/server/src";
/** Whose files share a process, one after another: loading each anew took longer than most of them do. */
const PARTS = [`${server}/{store,http,loops,delivery,postgres,stories}/**/*.test.ts`, "packages/cli/src/**/*.test.ts"];
const PURE = ["packages/sdk/src/**/*.test.ts", `${server}/core/**/*.test.ts`];
/** What they are about happens once a process: a listener for SIGTERM, a warning. */
const ALONE = ["shutdown", "signature", "advice"].map((name) => `packages/sdk/src/${name}.test.ts`);

export default defineConfig({
  resolve: { conditions: ["rotor-source", "node"] },
  ssr: { resolve: { conditions: ["rotor-source", "node"] } },
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: "forks",
    // Most tests wait for Postgres, sockets and leases rather than compute.
    maxWorkers: 5,
    globalSetup: [`${server}/testing-kit/global-setup.ts`],
    projects: [
      { extends: true, test: { name: "pure", include: PURE, exclude: ALONE, isolate: false } },
      { extends: true, test: { name: "alone", include: ALONE } },
      { extends: true, test: { name: "parts", include: PARTS, isolate: false } },
      {
        extends: true,
        test: {
          name: "whole",
          include: [
            "packages/*/src/**/*.test.ts",
            "examples/**/*.test.ts",
            "scripts/**/*.test.ts",
            "faults/**/*.test.mjs",
          ],
          exclude: ["**/node_modules/**", "**/dist/**", ...PURE, ...PARTS],
        },
      },
    ],
  },
});
