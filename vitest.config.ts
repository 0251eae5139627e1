import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["rotor-source", "node"] },
  ssr: { resolve: { conditions: ["rotor-source", "node"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "examples/**/*.test.ts", "scripts/**/*.test.ts", "faults/**/*.test.mjs"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: "forks",
    // Most tests wait for Postgres, sockets and leases rather than compute.
    maxWorkers: 5,
    globalSetup: ["packages/server/src/testing-kit/global-setup.ts"],
  },
});
