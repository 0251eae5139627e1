import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { defineConfig, type Plugin, type ViteUserConfig } from "vitest/config";

/** Set by `npm test`, which has built everything. */
const isBuilt = process.env.ROTOR_TEST_BUILT === "1";
const MODULE = /^(.*\/packages\/(?:server|cli))\/src\/(.*)\.js$/;

/**
 * What was built is loaded by Node itself, as users load it; transforming each source again took a tenth of all tests' time. Without
 * `npm test` it is the sources, so that nothing need be built after each change.
 */
const built: Plugin = {
  name: "rotor-built",
  enforce: "pre",
  resolveId(source, importer) {
    if (!source.startsWith(".") || importer === undefined) return undefined;
    const [, folder, module] = MODULE.exec(resolve(dirname(importer), source)) ?? [];
    if (folder === undefined) return undefined;
    const file = `${folder}/dist/${module}.js`;
    return existsSync(file) ? file : undefined;
  },
};
const by = (conditions: string[]): ViteUserConfig => ({ resolve: { conditions }, ssr: { resolve: { conditions } } });
const fromSource = by(["rotor-source", "node"]);
const whatIsTested = isBuilt ? { plugins: [built], ...by(["node"]) } : fromSource;

const server = "packages/server/src";
/** Whose files share a process, one after another: loading each anew took longer than most of them do. */
const PARTS = [`${server}/{store,http,loops,delivery,postgres,stories}/**/*.test.ts`, "packages/cli/src/**/*.test.ts"];
const PURE = ["packages/sdk/src/**/*.test.ts", `${server}/core/**/*.test.ts`];
/** What they are about happens once a process: a listener for SIGTERM, a warning. */
const ALONE = ["shutdown", "signature", "advice"].map((name) => `packages/sdk/src/${name}.test.ts`);

export default defineConfig({
  test: {
    server: { deps: { external: [/\/packages\/(sdk|server|cli)\/dist\//] } },
    // Against tests that hang. What takes some seconds alone takes twelve times as long among all others on a slow machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    // Most tests wait for Postgres, sockets and leases rather than compute.
    maxWorkers: 5,
    globalSetup: [`${server}/testing-kit/global-setup.ts`],
    projects: [
      { extends: true, ...fromSource, test: { name: "pure", include: PURE, exclude: ALONE, isolate: false } },
      { extends: true, ...fromSource, test: { name: "alone", include: ALONE } },
      { extends: true, ...whatIsTested, test: { name: "parts", include: PARTS, isolate: false } },
      {
        extends: true,
        ...whatIsTested,
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
