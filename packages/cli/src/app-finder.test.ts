import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Rotor } from "@rotorsh/sdk";
import { expect, onTestFinished, test } from "vitest";
import { type Reply, startScriptedApi } from "../../sdk/src/testing-kit/scripted-api.js";
import { type AppNews, appUrl, findApps, targetsOf, USUAL_PORTS } from "./app-finder.js";

test("an app may be named by port, origin or address", () => {
  expect(appUrl("3100")).toBe("http://127.0.0.1:3100/api/rotor");
  expect(appUrl("http://localhost:3100")).toBe("http://localhost:3100/api/rotor");
  expect(appUrl("https://app.test/hooks/rotor")).toBe("https://app.test/hooks/rotor");
  expect(() => appUrl("localhost:3100")).toThrow("not an address");
});

test("the usual ports are looked at, but for the server's own and those of named apps", () => {
  const targets = targetsOf(["http://localhost:3000/x", "http://localhost:3000/x"], 8080);
  expect(targets[0]).toEqual({ url: "http://localhost:3000/x", isNamed: true });
  const ports = targets.slice(1).map(({ url }) => Number(new URL(url).port));
  expect(ports).toEqual(USUAL_PORTS.filter((port) => port !== 3000 && port !== 8080));
});

/** Somebody who listens. What he would say is for the server to read, which answers from a script here. */
async function startApp(): Promise<{ url: string; close: () => void }> {
  const server = createServer((socket) => socket.on("error", () => socket.destroy())).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/rotor`, close: () => server.close() };
}

const synced = (...ids: string[]): Reply => ({ json: { app: "shop", functions: ids.map((id) => ({ id })) } });
const refused = (status: number, message: string): Reply => ({ status, json: { error: { code: "c", message } } });

/** The news about one address until there are `count`; `onNews` may change the world meanwhile. */
async function newsOf(
  url: string,
  isNamed: boolean,
  replies: Reply[],
  count: number,
  onNews: (news: AppNews) => void = () => undefined,
) {
  const api = await startScriptedApi();
  onTestFinished(() => api.close());
  api.replies = replies;
  const enough = new AbortController();
  const told: AppNews[] = [];
  await findApps({
    rotor: new Rotor({ baseUrl: api.baseUrl, apiKey: "" }),
    targets: [{ url, isNamed }],
    signal: enough.signal,
    everyMs: 1,
    tell: (news) => {
      told.push(news);
      onNews(news);
      if (told.length === count) enough.abort();
    },
  });
  return { told, bodies: api.seen.map(({ body }) => body) };
}

test("an app is told when it is found, when it has changed, and when it is lost", async () => {
  const app = await startApp();
  const replies = [synced("a"), synced("a"), synced("b", "a"), synced("b", "a")];
  const { told } = await newsOf(app.url, false, replies, 3, ({ kind }) => kind === "changed" && app.close());
  expect(told).toEqual([
    { kind: "found", url: app.url, app: "shop", functions: ["a"] },
    { kind: "changed", url: app.url, app: "shop", functions: ["a", "b"] },
    { kind: "lost", url: app.url },
  ]);
});

test("what else listens on a usual port is passed over in silence, and a named app's refusal told once", async () => {
  const app = await startApp();
  const html = refused(422, "it answered 404, not signed: <html>");
  const silent = await newsOf(app.url, false, [html, html, synced("a")], 1);
  expect(silent.told.map(({ kind }) => kind)).toEqual(["found"]);
  const named = await newsOf(app.url, true, [html, html, synced("a")], 2);
  expect(named.told.map(({ kind }) => kind)).toEqual(["refused", "found"]);
});

test("an app without its key is told even where nobody named it", async () => {
  const app = await startApp();
  const noKey = refused(422, 'it answered 500: {"error":{"code":"no_signing_key","message":"Set ROTOR_DEV=1."}}');
  const { told } = await newsOf(app.url, false, [noKey, synced()], 2);
  expect(told[0]).toMatchObject({ kind: "refused", message: expect.stringContaining("ROTOR_DEV=1") });
});

test("an app whose old address is silent is moved, at the second look", async () => {
  const app = await startApp();
  const conflict = refused(409, "The app shop is served at http://127.0.0.1:1/api/rotor.");
  const { told, bodies } = await newsOf(app.url, false, [conflict, synced("a")], 1);
  expect(told[0]).toMatchObject({ kind: "found" });
  expect(bodies).toEqual([
    { url: app.url, move: false },
    { url: app.url, move: true },
  ]);
});
