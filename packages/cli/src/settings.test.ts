import { readFileSync, statSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { startScriptedApi } from "../../sdk/src/testing-kit/scripted-api.js";
import { readSettings, settingsFile, storeSettings } from "./settings.js";
import { call, temporaryFolder } from "./testing-kit/context.js";

const stored = { baseUrl: "https://rotor.example.com", apiKey: "rt_ws_default_a" };

test("without anything configured, the server is the one of this machine, without a key", () => {
  expect(readSettings({}, temporaryFolder())).toEqual({ baseUrl: "http://127.0.0.1:7686", apiKey: undefined });
});

test("what is stored is used, and readable by its owner only", () => {
  const home = temporaryFolder();
  const file = storeSettings(home, stored);
  expect(file).toBe(settingsFile(home));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readSettings({}, home)).toEqual(stored);
});

test("the environment wins over what is stored", () => {
  const home = temporaryFolder();
  storeSettings(home, stored);
  const env = { ROTOR_BASE_URL: "http://127.0.0.1:1/", ROTOR_API_KEY: "rt_ws_default_b" };
  expect(readSettings(env, home)).toEqual({ baseUrl: "http://127.0.0.1:1", apiKey: "rt_ws_default_b" });
});

test("a stored key is shown to no other server than its own", () => {
  const home = temporaryFolder();
  storeSettings(home, stored);
  expect(readSettings({ ROTOR_BASE_URL: "http://127.0.0.1:1" }, home).apiKey).toBeUndefined();
});

test("a spoilt file is told with its name", () => {
  const home = temporaryFolder();
  writeFileSync(storeSettings(home, stored), "{");
  expect(() => readSettings({}, home)).toThrow(settingsFile(home));
});

test("an address that is none is told", () => {
  expect(() => readSettings({ ROTOR_BASE_URL: "localhost:7686" }, temporaryFolder())).toThrow("ROTOR_BASE_URL");
});

test("login asks the server about the key, then stores both", async () => {
  const home = temporaryFolder();
  const api = await startScriptedApi();
  api.replies = [{ json: { data: [], next_cursor: null } }];
  const called = await call(["login", api.baseUrl], { home, input: "rt_ws_default_c\n" });
  api.close();
  expect(called.code).toBe(0);
  expect(api.seen[0]!.headers.authorization).toBe("Bearer rt_ws_default_c");
  expect(JSON.parse(readFileSync(settingsFile(home), "utf8"))).toEqual({
    baseUrl: api.baseUrl,
    apiKey: "rt_ws_default_c",
  });
});

test("login stores no key that the server refuses", async () => {
  const home = temporaryFolder();
  const api = await startScriptedApi();
  api.replies = [{ status: 401, json: { error: { code: "unauthorized", message: "This is not a valid API key." } } }];
  const called = await call(["login", api.baseUrl, "--key", "rt_ws_default_d"], { home });
  api.close();
  expect(called).toMatchObject({ code: 1, err: "This is not a valid API key." });
  expect(readSettings({}, home).apiKey).toBeUndefined();
});
