/** Workspaces over HTTP: who may see and make them all. Everything else happens within one. */
import { z } from "@hono/zod-openapi";
import { newSecret } from "@rotorsh/sdk/signature";
import { limits } from "../core/limits.js";
import { closeWorkspace, emptyWorkspace, hasUnfinished } from "../store/delete-workspace.js";
import { listWorkspaces } from "../store/workspaces.js";
import { createApiKey } from "./auth.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, notFound } from "./errors.js";
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

/** Every start makes it anew where it is missing. */
const FIRST = "default";

/** One call deletes for this long at most; the next goes on. */
const DELETING_MS = 5_000;

const gone = z.object({ deleted: z.literal(false) }).openapi("WorkspaceClosing");

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
      audit: "workspace.create",
      body: newWorkspace,
      answers: {
        201: [
          "The workspace; the keys are shown this once.",
          workspaceJson.extend({
            key: z.string(),
            signing_key: z.string().openapi({ description: "Signs its deliveries." }),
          }),
        ],
      },
    },
    async ({ c, body: { id, name = id } }) => {
      const signingKey = newSecret();
      if (!(await engine.keyring.createWorkspace(id, name, signingKey))) throw conflict(`A workspace ${id} exists.`);
      const made = (await listWorkspaces(db)).find((workspace) => workspace.id === id);
      // Deleted again within this moment.
      if (made === undefined) throw conflict(`The workspace ${id} is gone.`);
      // A key opens its own workspace only, so without this one nobody could come in.
      const { key } = await createApiKey(db, id, "first", ["admin"]);
      return c.json({ ...view(made), key, signing_key: signingKey }, 201);
    },
  );

  endpoint(
    api,
    "workspaces",
    {
      method: "delete",
      path: "/v1/workspaces/{id}",
      summary: "Delete a workspace with all that is in it: its keys end at once; call again until it is gone",
      tag,
      audit: "workspace.delete",
      params: z.object({ id: z.string() }),
      query: z.object({
        cancel: z.enum(["true", "false"]).optional().openapi({ description: "Cancel what is unfinished in it." }),
      }),
      answers: { 202: ["Some of it is left: call again.", gone], 204: ["It is gone."] },
    },
    async ({ c, params: { id }, query }) => {
      if (!(await listWorkspaces(db)).some((workspace) => workspace.id === id)) throw notFound("workspace", id);
      if (id === FIRST) throw conflict(`The workspace ${FIRST} cannot be deleted: a server always has it.`);
      const cancelling = query.cancel === "true";
      const unfinished = conflict(
        `The workspace ${id} holds unfinished work: let it end, or say cancel=true to cancel it.`,
      );
      if (!cancelling && (await hasUnfinished(db, id))) throw unfinished;
      await closeWorkspace(db, id);
      api.auth.forget();
      const until = performance.now() + DELETING_MS;
      for (;;) {
        const step = await emptyWorkspace(db, id, cancelling);
        if (step === "unfinished") throw unfinished;
        if (step === "gone") engine.keyring.forget(id);
        if (step === "gone") return c.body(null, 204);
        if (step === "later" || performance.now() > until)
          return c.json({ deleted: false }, 202, { "retry-after": "1" });
      }
    },
  );
}
