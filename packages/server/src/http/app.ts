/** The HTTP API put together: every resource's routes, what all answers have in common, and the document of it all. */
import type { RequestListener, ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { OpenAPIHono } from "@hono/zod-openapi";
import { accepted } from "./accepted.js";
import { approvals } from "./approvals.js";
import { apps } from "./apps.js";
import { auditTrail } from "./audit.js";
import { authenticator } from "./auth.js";
import { awaited } from "./awaited.js";
import { bulkRuns } from "./bulk-runs.js";
import { checkpoints } from "./checkpoints.js";
import { checks } from "./checks.js";
import { concurrencyKeys } from "./concurrency-keys.js";
import { dashboard } from "./dashboard.js";
import { deadLetters } from "./dead-letters.js";
import type { Api } from "./endpoint.js";
import type { Engine } from "./engine.js";
import { answerError, type Log, Refusal } from "./errors.js";
import { events } from "./events.js";
import { find } from "./find.js";
import { functions } from "./functions.js";
import { health } from "./health.js";
import { jobs } from "./jobs.js";
import { keys } from "./keys.js";
import { links } from "./links.js";
import { listenersOf } from "./listeners.js";
import { metrics } from "./metrics.js";
import { type PlainRoute, plainDoor } from "./plain-door.js";
import { queueIds } from "./queue-ids.js";
import { queues } from "./queues.js";
import { runs } from "./runs.js";
import { schedules } from "./schedules.js";
import { secrets } from "./secrets.js";
import { sessions } from "./sessions.js";
import { signals } from "./signals.js";
import { signingKeys } from "./signing-keys.js";
import { stats } from "./stats.js";
import { stream } from "./stream.js";
import { webhooks } from "./webhooks.js";
import { why } from "./why.js";
import { workspaces } from "./workspaces.js";

export type AppOptions = {
  /** Where unexpected errors are told. Default: the console. */
  readonly log?: Log;
  /** Where the dashboard's files are. Default: the package's own. */
  readonly dashboard?: URL;
};

/** Of every answer. */
const SAFE_HEADERS = [
  ["x-content-type-options", "nosniff"],
  ["x-frame-options", "DENY"],
  ["referrer-policy", "no-referrer"],
  ["cross-origin-resource-policy", "same-origin"],
] as const;

/** Of what is no page. */
const API_POLICY = "default-src 'none'; frame-ancestors 'none'";

const consoleLog: Log = { error: (details, message) => console.error(message, details) };

/** The app for an engine. It holds no socket: `app.fetch` answers a request. */
export const createApp = (engine: Engine, options: AppOptions = {}): OpenAPIHono => build(engine, options).app;

/** The same, and what answers Node's requests: the plain door before the app. */
export function createListener(
  engine: Engine,
  options: AppOptions = {},
): { readonly app: OpenAPIHono; readonly listener: RequestListener } {
  const { app, plain } = build(engine, options);
  const headers = [...SAFE_HEADERS.flat(), "content-security-policy", API_POLICY, "cache-control", "no-store"];
  const listener = plainDoor(plain, headers, options.log ?? consoleLog, getRequestListener(app.fetch));
  return { app, listener };
}

function build(engine: Engine, options: AppOptions): { app: OpenAPIHono; plain: readonly PlainRoute[] } {
  const log = options.log ?? consoleLog;
  const app = new OpenAPIHono();
  const plain: PlainRoute[] = [];
  const api: Api = { app, engine, auth: authenticator(engine), plain };
  const ids = queueIds(engine.db);
  const listeners = listenersOf(engine.db);
  const waits = awaited(engine);

  app.use(async (c, next) => {
    const { outgoing } = (c.env ?? {}) as { outgoing?: ServerResponse };
    const isApi = c.req.path.startsWith("/v1/");
    if (outgoing !== undefined) {
      // Straight to Node's response, where a route's own headers go over them: to touch those of `c.res` makes them anew.
      for (const [name, value] of SAFE_HEADERS) outgoing.setHeader(name, value);
      outgoing.setHeader("content-security-policy", API_POLICY);
      if (isApi) outgoing.setHeader("cache-control", "no-store");
      return next();
    }
    await next();
    const { headers } = c.res;
    for (const [name, value] of SAFE_HEADERS) headers.set(name, value);
    if (!headers.has("content-security-policy")) headers.set("content-security-policy", API_POLICY);
    if (isApi) headers.set("cache-control", "no-store");
  });

  queues(api, ids.forget);
  jobs(api, ids);
  accepted(api);
  why(api);
  concurrencyKeys(api);
  deadLetters(api);
  schedules(api);
  functions(api, listeners, waits);
  apps(api);
  checks(api);
  runs(api, waits);
  bulkRuns(api);
  checkpoints(api, log);
  events(api, listeners);
  signals(api);
  links(api);
  approvals(api);
  secrets(api);
  keys(api);
  sessions(api);
  signingKeys(api);
  workspaces(api);
  webhooks(api);
  auditTrail(api);
  stats(api);
  find(api);
  stream(api);
  metrics(api);
  health(api);
  const page = dashboard(api, options.dashboard);

  app.openAPIRegistry.registerComponent("securitySchemes", "key", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "rt_ws_<workspace>_<secret>",
  });
  app.doc31("/doc", {
    openapi: "3.1.0",
    info: { title: "Rotor", version: engine.config.version },
    servers: [{ url: engine.config.publicUrl }],
  });

  const allowed = methodsByPath(app);
  app.notFound(async (c) => {
    const view = await page.answer(c);
    if (view !== undefined) return view;
    const methods = allowed(c.req.path);
    if (methods.length === 0)
      return answerError(
        new Refusal(
          404,
          "not_found",
          `There is no route ${c.req.method} ${c.req.path.slice(0, 200)}. GET /doc lists them.`,
        ),
        c,
        log,
      );
    const allow = methods.join(", ");
    return answerError(
      new Refusal(405, "method_not_allowed", `${c.req.method} is not possible here; ${allow} is.`, {
        headers: { allow },
      }),
      c,
      log,
    );
  });
  app.onError((error, c) => answerError(error, c, log));
  return { app, plain };
}

/** Which methods a path has. */
function methodsByPath(app: OpenAPIHono): (path: string) => string[] {
  const routes = app.routes
    .filter((route) => route.method !== "ALL")
    .map((route) => ({
      method: route.method,
      pattern: new RegExp(`^${route.path.replaceAll(".", "\\.").replaceAll(/:\w+/g, "[^/]+")}$`),
    }));
  return (path) => [...new Set(routes.filter((route) => route.pattern.test(path)).map((route) => route.method))].sort();
}
