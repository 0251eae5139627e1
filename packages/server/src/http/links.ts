/**
 * The page behind a link to a signal. Looking at it changes nothing, since mail scanners and previews look at every link;
 * its one button does. No script, no other address is loaded, and what a user wrote is escaped.
 */
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { readSignalLink, type SignalLink } from "../core/signal-link.js";
import { completeByLink, stateOfLink } from "../store/signal-links.js";
import { type Api, openEndpoint } from "./endpoint.js";

const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark;overflow-wrap:anywhere}button{font:inherit;padding:.5rem 1.5rem;cursor:pointer}pre{white-space:pre-wrap}";
const POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ESCAPES[character]!);

const page = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${STYLE}</style>
<h1>${title}</h1>
${body}
</html>
`;

const answer = (c: Context, status: 200 | 404 | 409 | 410, title: string, body: string): Response =>
  c.html(page(title, body), status, { "content-security-policy": POLICY, "cache-control": "no-store" });

const nameOf = ({ signal }: SignalLink): string => `<strong>${escaped(signal)}</strong>`;

const params = z.object({ token: z.string() });
const route = { tag: "signals", params, answers: { 200: ["A page."] } } as const;

/** Hangs the routes of the page. */
export function links(api: Api): void {
  const { engine } = api;
  const unknown = (c: Context): Response =>
    answer(c, 404, "No such link", "<p>This link is not one of this server's. Was it copied as a whole?</p>");
  const expired = (c: Context, link: SignalLink): Response =>
    answer(
      c,
      410,
      "This link has expired",
      `<p>It was to complete ${nameOf(link)}. Ask whoever sent it for a new one.</p>`,
    );
  const used = (c: Context, link: SignalLink, status: 200 | 409): Response =>
    answer(c, status, "Already completed", `<p>${nameOf(link)} was completed before. There is nothing left to do.</p>`);

  openEndpoint(
    api,
    { ...route, method: "get", path: "/links/{token}", summary: "The page of a link to a signal; it changes nothing" },
    async ({ c, params: { token } }) => {
      const link = readSignalLink(engine.tokenSecret, token);
      if (link === undefined) return unknown(c);
      const state = await stateOfLink(engine.db, link);
      if (state === "expired") return expired(c, link);
      if (state === "used") return used(c, link, 200);
      const given = link.data === "null" ? "" : `<p>It is given:</p><pre>${escaped(link.data)}</pre>`;
      const form = `<form method="post"><button type="submit">Complete</button></form>`;
      const until = new Date(link.expiresAtMs).toISOString();
      return answer(
        c,
        200,
        "Complete a signal",
        `<p>Somebody waits for ${nameOf(link)}. With this button it goes on.</p>${given}${form}<p>This works once, until ${until}.</p>`,
      );
    },
  );

  openEndpoint(
    api,
    { ...route, method: "post", path: "/links/{token}", summary: "Complete the signal of a link, once" },
    async ({ c, params: { token } }) => {
      const link = readSignalLink(engine.tokenSecret, token);
      if (link === undefined) return unknown(c);
      const done = await completeByLink(engine.db, link);
      if (done === "expired") return expired(c, link);
      if (done === "used") return used(c, link, 409);
      if (done.kind === "resumed") engine.wake();
      return answer(c, 200, "Done", `<p>${nameOf(link)} is completed. You can close this page.</p>`);
    },
  );
}
