/** The ids of callback queues by name, remembered for a moment: an enqueue then costs its own commit and nothing else. */
import type { Queryable } from "../store/db.js";
import { getQueue } from "../store/queues.js";
import { notFound } from "./errors.js";

const KEPT_MS = 5_000;
const KEPT = 10_000;

export type QueueIds = {
  /**
   * Does something with a queue's id. Where that fails, the queue may have been deleted, or made anew, by another node:
   * it is looked up again, and if that gives another id, tried once more.
   * @throws Refusal 404 if there is no such queue.
   */
  use<T>(workspace: string, name: string, work: (queueId: number) => Promise<T>): Promise<T>;
  forget(workspace: string, name: string): void;
};

export function queueIds(db: Queryable): QueueIds {
  const kept = new Map<string, { readonly id: number; readonly until: number }>();
  const keyOf = (workspace: string, name: string): string => `${workspace}/${name}`;

  const read = async (workspace: string, name: string): Promise<number> => {
    const queue = await getQueue(db, workspace, "callback", name);
    if (queue === undefined) throw notFound("queue", name);
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
    kept.set(keyOf(workspace, name), { id: queue.id, until: performance.now() + KEPT_MS });
    return queue.id;
  };

  return {
    async use(workspace, name, work) {
      const known = kept.get(keyOf(workspace, name));
      if (known === undefined || known.until < performance.now()) return work(await read(workspace, name));
      try {
        return await work(known.id);
      } catch (error) {
        kept.delete(keyOf(workspace, name));
        const id = await read(workspace, name);
        if (id === known.id) throw error;
        return work(id);
      }
    },
    forget: (workspace, name) => kept.delete(keyOf(workspace, name)),
  };
}
