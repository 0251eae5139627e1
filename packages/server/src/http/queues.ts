/** Queues over HTTP: made, changed, paused, deleted. Their jobs are in `jobs.ts`. */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { drain, lastJob } from "../store/drain.js";
import {
  createQueue,
  DEFAULT_QUEUE,
  deleteQueue,
  getQueue,
  listQueues,
  pauseQueue,
  type Queue,
  type QueueSettings,
  scheduleInto,
  updateQueue,
} from "../store/queues.js";
import { bulkAnswer } from "./bulk.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, invalid, notFound } from "./errors.js";
import { pageOf } from "./paging.js";
import { changes, creation, queueJson, queueView, settingsOf } from "./queue-settings.js";
import { checkTemplates } from "./queue-templates.js";
import { listOf, name, page } from "./schemas.js";
import { setQueueSecret } from "./signing-keys.js";

const tag = "queues";
const params = z.object({ name: z.string() });
const drainBody = z.strictObject({
  confirm: z.boolean().optional().openapi({ description: "true: yes, cancel them." }),
  dry_run: z.boolean().optional().openapi({ description: "Only tell how many there are." }),
  cursor: z
    .string()
    .refine(isId, "it is not the next_cursor of an answer of this route")
    .optional()
    .openapi({ description: "The `next_cursor` of the answer before." }),
});
const drained = z
  .object({
    cancelled: z.number().int().openapi({ description: "Jobs that are cancelled; with dry_run, that would be." }),
    next_cursor: bulkAnswer.next_cursor,
  })
  .openapi("Drained");
const one = { 200: ["The queue.", queueJson] } as const;

/** Hangs the routes of queues. `forget` is told of queues that are gone. */
export function queues(api: Api, forget: (workspace: string, name: string) => void): void {
  const { engine } = api;
  const { db } = engine;
  const find = async (workspace: string, queueName: string): Promise<Queue> => {
    const queue = await getQueue(db, workspace, "callback", queueName);
    if (queue === undefined) throw notFound("queue", queueName);
    return queue;
  };

  /** @throws Refusal 422 for what cannot be delivered to, or with. */
  const settingsFor = async (workspace: string, current: QueueSettings, given: z.infer<typeof changes>) => {
    await checkTemplates(engine, workspace, given);
    return settingsOf(engine, current, given);
  };
  /** The queue, signing as it was asked to. */
  const signing = async (queue: Queue, secret: string | null | undefined, isNew = false): Promise<Queue> => {
    if (secret === undefined) return queue;
    await setQueueSecret(engine, queue.workspace, queue.id, secret, isNew);
    return { ...queue, hasSecret: secret !== null };
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/queues",
      summary: "List queues",
      tag,
      query: z.object(page),
      answers: { 200: ["A page, by name.", listOf(queueJson)] },
    },
    async ({ c, workspace, query }) =>
      c.json(
        await pageOf(
          query,
          (after, limit) => listQueues(db, workspace, "callback", after ?? "", limit),
          (queue) => queue.name,
          queueView,
        ),
      ),
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/queues",
      audit: "queue.create",
      summary: "Make a queue",
      tag,
      body: creation,
      answers: { 201: ["The queue.", queueJson] },
    },
    async ({ c, workspace, body: { name: queueName, ...given } }) => {
      const queue = await createQueue(db, workspace, queueName, await settingsFor(workspace, DEFAULT_QUEUE, given));
      if (queue === undefined)
        throw conflict(`A queue named ${queueName} exists: PUT /v1/queues/${queueName} changes it.`);
      return c.json(queueView(await signing(queue, given.secret, true)), 201);
    },
  );

  endpoint(
    api,
    "read",
    { method: "get", path: "/v1/queues/{name}", summary: "Read a queue", tag, params, answers: one },
    async ({ c, workspace, params: { name: queueName } }) => c.json(queueView(await find(workspace, queueName))),
  );

  endpoint(
    api,
    "write",
    {
      method: "put",
      path: "/v1/queues/{name}",
      audit: "queue.put",
      summary: "Make a queue, or change one: what is left out gets its default, or stays as it is",
      tag,
      params: z.object({ name }),
      body: changes,
      answers: { ...one, 201: ["It was made.", queueJson] },
    },
    async ({ c, workspace, params: { name: queueName }, body }) => {
      const current = await getQueue(db, workspace, "callback", queueName);
      const made =
        current === undefined
          ? await createQueue(db, workspace, queueName, await settingsFor(workspace, DEFAULT_QUEUE, body))
          : undefined;
      if (made !== undefined) return c.json(queueView(await signing(made, body.secret, true)), 201);
      const before = current ?? (await find(workspace, queueName));
      const changed = await updateQueue(db, workspace, queueName, await settingsFor(workspace, before, body));
      if (changed === undefined) throw notFound("queue", queueName);
      engine.wake();
      return c.json(queueView(await signing(changed, body.secret)), 200);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "patch",
      path: "/v1/queues/{name}",
      audit: "queue.update",
      summary: "Change a queue",
      tag,
      params,
      body: changes,
      answers: one,
    },
    async ({ c, workspace, params: { name: queueName }, body }) => {
      const settings = await settingsFor(workspace, await find(workspace, queueName), body);
      const changed = await updateQueue(db, workspace, queueName, settings);
      if (changed === undefined) throw notFound("queue", queueName);
      engine.wake();
      return c.json(queueView(await signing(changed, body.secret)));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "delete",
      path: "/v1/queues/{name}",
      audit: "queue.delete",
      summary: "Delete a queue without unfinished jobs and schedules, with all that is finished in it",
      tag,
      params,
      answers: { 204: ["It is gone."] },
    },
    async ({ c, workspace, params: { name: queueName } }) => {
      await find(workspace, queueName);
      forget(workspace, queueName);
      if (!(await deleteQueue(db, workspace, "callback", queueName))) {
        const schedule = await scheduleInto(db, workspace, "callback", queueName);
        if (schedule !== undefined)
          throw conflict(
            `The schedule ${schedule} fires into the queue ${queueName}: delete it, or give it another queue.`,
          );
        throw conflict(`The queue ${queueName} holds unfinished jobs: cancel them, or let them end.`);
      }
      return c.body(null, 204);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/queues/{name}/drain",
      audit: "queue.drain",
      summary: "Cancel what waits in a queue; what is being delivered goes on",
      tag,
      params,
      body: drainBody,
      answers: { 200: ["What was cancelled.", drained] },
    },
    async ({ c, workspace, params: { name: queueName }, body }) => {
      const { id } = await find(workspace, queueName);
      if (body.confirm !== true && body.dry_run !== true)
        throw invalid("confirm", "write true to cancel all that waits in this queue, or dry_run to count it");
      const until = performance.now() + limits.bulkMs;
      const last = await lastJob(db, id);
      let cancelled = 0;
      let cursor = body.cursor ?? null;
      for (let more = last !== undefined; more && performance.now() < until; more = cursor !== null) {
        const step = await drain(db, id, { after: cursor, last: last!, dryRun: body.dry_run === true });
        cancelled += step.count;
        cursor = step.next;
      }
      // Parents of what was cancelled go on.
      if (cancelled > 0 && body.dry_run !== true) engine.wake();
      return c.json({ cancelled, next_cursor: cursor });
    },
  );

  for (const [verb, paused, summary] of [
    ["pause", true, "Begin no further delivery"],
    ["resume", false, "Deliver again"],
  ] as const) {
    endpoint(
      api,
      "write",
      { method: "post", path: `/v1/queues/{name}/${verb}`, audit: `queue.${verb}`, summary, tag, params, answers: one },
      async ({ c, workspace, params: { name: queueName } }) => {
        await find(workspace, queueName);
        const queue = await pauseQueue(db, workspace, "callback", queueName, paused);
        if (queue === undefined) throw notFound("queue", queueName);
        if (!paused) engine.wake();
        return c.json(queueView(queue));
      },
    );
  }
}
