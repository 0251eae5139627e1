/** Moves rows of the inbox, soon after their transactions committed. What a row means is decided by whoever calls. */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { hasRows, type Moved, moveRows, type ReadRow } from "../store/inbox.js";
import { createLoop, type Loop } from "./loop.js";

export type InboxOptions = {
  readonly db: Db;
  readonly held: () => boolean;
  readonly read: ReadRow;
  /** Jobs may be due, runs were started or resumed. */
  readonly onMoved: (moved: Moved) => void;
  readonly onError: (error: unknown) => void;
};

/**
 * An idle tick is one query and no transaction. A row waits for the next tick at most, so it is moved within 200 ms of
 * its commit while batches take less than the rest of that.
 */
export function createInbox({ db, held, read, onMoved, onError }: InboxOptions): Loop {
  return createLoop({
    onError,
    tick: async () => {
      if (held()) return limits.pollMs;
      if (!(await hasRows(db))) return limits.inboxPollMs;
      const moved = await moveRows(db, read);
      if (moved.rows > 0) onMoved(moved);
      return moved.more ? 0 : limits.inboxPollMs;
    },
  });
}
