/** The ids of callback queues by name, remembered for a moment: an enqueue then costs its own commit and nothing else. */
import type { Db } from "../store/db.js";
import { queueFinder } from "../store/queue-finder.js";
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

export function queueIds(db: Db): QueueIds {
  const finder = queueFinder(db, "callback");
  const kept = new Map<string, { readonly id: number; readonly until: number }>();
  const keyOf = (workspace: string, name: string): string => `${workspace}/${name}`;

  const read = async (workspace: string, name: string): Promise<number> => {
    const found = await finder.write({ workspace, name });
    if (found === undefined) throw notFound("queue", name);
    const { queueId: id } = found.to;
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
    kept.set(keyOf(workspace, name), { id, until: performance.now() + KEPT_MS });
    return id;
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
