/** Workspaces over HTTP: who may see and make them all. Everything else happens within one. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { listWorkspaces } from "../store/workspaces.js";
import { createApiKey } from "./auth.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict } from "./errors.js";
import { isPlain, listOf, time } from "./schemas.js";

const workspaceJson = z.object({ id: z.string(), name: z.string(), created_at: time }).openapi("Workspace");

const newWorkspace = z
  .strictObject({
    id: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9-]{0,39}$/,
        "write up to 40 lower-case letters, digits and dashes, a letter or digit first",
      )
      .openapi({ example: "staging" }),
    name: z
      .string()
      .min(1)
      .max(limits.nameLength)
      .refine(isPlain, "it holds a control character")
      .optional()
      .openapi({ description: "Default: the id." }),
  })
  .openapi("NewWorkspace");

const tag = "workspaces";

/** Hangs the routes of workspaces. */
export function workspaces(api: Api): void {
  const { engine } = api;
  const { db } = engine;
  const view = ({ id, name, createdAt }: { id: string; name: string; createdAt: Date }) => ({
    id,
    name,
    created_at: createdAt.toISOString(),
  });

  endpoint(
    api,
    "workspaces",
    {
      method: "get",
      path: "/v1/workspaces",
      summary: "List workspaces",
      tag,
      answers: { 200: ["All of them.", listOf(workspaceJson)] },
    },
    async ({ c }) => c.json({ data: (await listWorkspaces(db)).map(view), next_cursor: null }),
  );

  endpoint(
    api,
    "workspaces",
    {
      method: "post",
      path: "/v1/workspaces",
      summary: "Make a workspace, with a first key that administers it",
      tag,
      body: newWorkspace,
      answers: { 201: ["The workspace; the key is shown this once.", workspaceJson.extend({ key: z.string() })] },
    },
    async ({ c, body: { id, name = id } }) => {
      if (!(await engine.createWorkspace(id, name))) throw conflict(`A workspace ${id} exists.`);
      const made = (await listWorkspaces(db)).find((workspace) => workspace.id === id);
      // Deleted again within this moment.
      if (made === undefined) throw conflict(`The workspace ${id} is gone.`);
      // A key opens its own workspace only, so without this one nobody could come in.
      const { key } = await createApiKey(db, id, "first", ["admin"]);
      return c.json({ ...view(made), key }, 201);
    },
  );
}
