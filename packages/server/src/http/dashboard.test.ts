/** The dashboard's files as browsers get them: the page for each of its views, and never in place of the API. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApp } from "./app.js";
import { type TestApi, testApi } from "./testing-kit/api.js";

const PAGE = '<!doctype html><script type="module" src="/assets/main-4f3a.js"></script>';
const SCRIPT = "console.log(1)";

let api: TestApi;
let folder: string;
let app: ReturnType<typeof createApp>;

beforeAll(async () => {
  api = await testApi();
  folder = await mkdtemp(join(tmpdir(), "rotor-dashboard-"));
  await mkdir(join(folder, "assets"));
  await writeFile(join(folder, "index.html"), PAGE);
  await writeFile(join(folder, "favicon.svg"), "<svg/>");
  await writeFile(join(folder, "assets/main-4f3a.js"), SCRIPT);
  await writeFile(join(folder, "assets/main-4f3a.js.gz"), gzipSync(SCRIPT));
  await writeFile(join(folder, "assets/secret.map"), "not served");
  app = createApp(api.engine, { dashboard: pathToFileURL(`${folder}/`) });
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await api.close();
});

const BROWSER = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
const get = (path: string, headers: Record<string, string> = BROWSER, method = "GET") =>
  app.request(`http://rotor.test${path}`, { method, headers });

describe("the page", () => {
  test.each([
    "/",
    "/runs",
    "/runs/0197f2d0-1c5e-7b6e-9d2e-2f3a4b5c6d7e",
    "/queues/my.queue/jobs/a%2Fb",
    "/login?to=/x",
  ])("is there for %s, is asked for anew each time, and runs nothing but its own files", async (path) => {
    const answer = await get(path);
    expect([answer.status, await answer.text()]).toEqual([200, PAGE]);
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(answer.headers.get("cache-control")).toBe("no-cache");
    expect(answer.headers.get("content-security-policy")).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    );
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("x-frame-options")).toBe("DENY");
    expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    expect(answer.headers.get("cross-origin-opener-policy")).toBe("same-origin");
  });

  test("is not sent again while it is the same", async () => {
    const etag = (await get("/")).headers.get("etag")!;
    const again = await get("/", { ...BROWSER, "if-none-match": etag });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    expect((await get("/", { ...BROWSER, "if-none-match": '"other"' })).status).toBe(200);
  });

  test("has a head alone for who asks for it", async () => {
    const head = await get("/runs", BROWSER, "HEAD");
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test.each([
    "/v1/nothing",
    "/v1/queues",
    "/V1/queues",
    "/api/rotor",
    "/assets/gone-1234.js",
    "/doc/x",
    "/docs",
    "/healthz/x",
    "/metrics/x",
    "/links/x",
    "/sdk.tgz/x",
  ])("is never in the place of %s", async (path) => {
    const answer = await get(path);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await answer.text()).not.toContain("<!doctype html><script");
  });

  test("is for browsers, and for reading: programs are told what there is not", async () => {
    expect((await get("/runs", { accept: "application/json" })).status).toBe(404);
    expect((await get("/runs", {})).status).toBe(404);
    expect((await get("/runs", BROWSER, "POST")).status).toBe(404);
  });
});

describe("a file of it", () => {
  test("whose name tells its content may be kept for ever, and comes compressed to who takes it", async () => {
    const plain = await get("/assets/main-4f3a.js", {});
    expect([plain.status, await plain.text()]).toEqual([200, SCRIPT]);
    expect(plain.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(plain.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(plain.headers.get("vary")).toBe("accept-encoding");
    const packed = await get("/assets/main-4f3a.js", { "accept-encoding": "br, gzip;q=0.8" });
    expect(packed.headers.get("content-encoding")).toBe("gzip");
    expect(gunzipSync(Buffer.from(await packed.arrayBuffer())).toString()).toBe(SCRIPT);
  });

  test("with a fixed name is asked for anew", async () => {
    const answer = await get("/favicon.svg", {});
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-cache"]);
  });

  test.each(["/assets/secret.map", "/assets/main-4f3a.js.gz", "/assets/../index.html.bak", "/assets/%2e%2e/%2e%2e/x"])(
    "that is none, such as %s, is not there",
    async (path) => {
      expect((await get(path, {})).status).toBe(404);
    },
  );
});

test("a server that was built without it says so", async () => {
  const bare = createApp(api.engine, { dashboard: pathToFileURL(`${folder}/nowhere/`) });
  const answer = await bare.request("http://rotor.test/", { headers: BROWSER });
  expect(answer.status).toBe(404);
  expect(((await answer.json()) as { error: { message: string } }).error.message).toContain("npm run build");
});
