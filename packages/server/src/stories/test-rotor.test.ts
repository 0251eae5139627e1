/** The SDK's testing kit does as the server does: the same programs end the same in both, step by step. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { scenarios } from "./testing-kit/parity-scenarios.js";
import { playInTestRotor, playOnServer } from "./testing-kit/parity-stage.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

test.each(Object.entries(scenarios))("%s", async (name, scenario) => {
  const real = await playOnServer(server, name.replace(/[^a-z]+/g, "-").slice(0, 60), scenario);
  expect(await playInTestRotor(scenario)).toEqual(real);
  expect(real.length).toBeGreaterThan(0);
});
