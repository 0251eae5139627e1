/** Which event names functions listen for, to start or to cancel runs, so that a sender who misspelt one is told. */

import { limits } from "../core/limits.js";
import { listCancelEvents, listTriggers } from "../store/apps.js";
import type { Queryable } from "../store/db.js";
import { listQueues } from "../store/queues.js";
import { shown } from "./errors.js";

/** A function that was synced this long ago at most may not be known. */
const KEPT_MS = 5_000;
const KEPT = 1_000;

export type Listeners = {
  /** A sentence where no function of the workspace listens for this name; it names the nearest one that is listened for. */
  warningFor(workspace: string, name: string): Promise<string | undefined>;
  forget(workspace: string): void;
};

export function listenersOf(db: Queryable): Listeners {
  const kept = new Map<string, { readonly names: readonly string[]; readonly until: number }>();

  const namesOf = async (workspace: string): Promise<readonly string[]> => {
    const known = kept.get(workspace);
    if (known !== undefined && known.until > performance.now()) return known.names;
    const queues = await listQueues(db, workspace, "function", "", limits.listPage);
    const ids = queues.map((queue) => queue.id);
    const [triggers, cancels] = await Promise.all([listTriggers(db, ids), listCancelEvents(db, ids)]);
    const names = [...new Set([...triggers.map((trigger) => trigger.event), ...cancels])];
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
    kept.set(workspace, { names, until: performance.now() + KEPT_MS });
    return names;
  };

  return {
    async warningFor(workspace, name) {
      const names = await namesOf(workspace);
      if (names.includes(name)) return undefined;
      const nearest = nearestOf(name, names);
      const hint = nearest === undefined ? "" : ` Did you mean ${shown(nearest)}?`;
      return `No function listens for ${shown(name)}, and no run waited for it.${hint}`;
    },
    forget: (workspace) => kept.delete(workspace),
  };
}

/** The candidate that is so few typing mistakes away that it may have been meant. */
export function nearestOf(text: string, candidates: readonly string[]): string | undefined {
  const most = Math.max(1, Math.min(4, Math.floor(text.length / 3)));
  const [first] = candidates
    .map((candidate) => ({ candidate, distance: distanceOf(text.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance);
  return first?.candidate;
}

/** Levenshtein's: characters put in, left out or changed. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
