/** Whether the server lives and can work, and what it gives away: its SDK. None of it needs a key. */
import { readFile } from "node:fs/promises";
import { z } from "@hono/zod-openapi";
import { isUnavailable } from "../store/outage.js";
import { readClock } from "../store/schedules.js";
import { type Api, openEndpoint } from "./endpoint.js";
import { Refusal } from "./errors.js";

const SDK = new URL("../../assets/sdk.tgz", import.meta.url);

const readiness = z
  .object({
    status: z.enum(["ready", "draining", "no_store"]),
    store: z.string(),
    environment: z.string(),
    version: z.string(),
    held: z.boolean().openapi({ description: "Nothing is delivered: the database belongs to another environment." }),
  })
  .openapi("Readiness");

const tag = "server";

/** Hangs the routes about the server itself. */
export function health(api: Api): void {
  const { engine } = api;
  const { store, version } = engine.config;

  openEndpoint(
    api,
    {
      method: "get",
      path: "/healthz",
      summary: "Whether the process lives",
      tag,
      answers: { 200: ["It does.", z.object({ status: z.literal("ok") })] },
    },
    async ({ c }) => c.json({ status: "ok" }),
  );

  openEndpoint(
    api,
    {
      method: "get",
      path: "/readyz",
      summary: "Whether the server can work",
      tag,
      answers: {
        200: ["It can.", readiness],
        503: ["Its database does not answer, or it is shutting down.", readiness],
      },
    },
    async ({ c }) => {
      const answers = await readClock(engine.db).then(
        () => true,
        (error: unknown) => {
          if (isUnavailable(error)) return false;
          throw error;
        },
      );
      const status = !answers ? "no_store" : engine.draining() ? "draining" : "ready";
      return c.json(
        {
          status,
          store,
          environment: engine.config.environment,
          version,
          held: engine.isHeld(),
        } satisfies z.infer<typeof readiness>,
        status === "ready" ? 200 : 503,
      );
    },
  );

  openEndpoint(
    api,
    {
      method: "get",
      path: "/sdk.tgz",
      summary: "The SDK that fits this server, for npm",
      tag,
      answers: { 200: ["A package."] },
    },
    async ({ c }) => {
      const file = await readFile(SDK).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT")
          throw new Refusal(404, "not_found", "This server was built without its SDK: `npm run pack` makes it.");
        throw error;
      });
      return c.body(new Uint8Array(file), 200, { "content-type": "application/gzip" });
    },
  );
}
