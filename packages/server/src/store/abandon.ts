/** Ends all that a database still means to do: what a copy of it must not do a second time. */
import { limits } from "../core/limits.js";
import { cancelUnfinished } from "./control.js";
import { type Db, sql } from "./db.js";

/** Rows that would become jobs and events. */
const dropInbox = sql(
  "abandon.inbox",
  "delete from rotor.inbox where seq in (select seq from rotor.inbox order by seq limit $1) returning 1",
);
/** Events whose effects are not all there yet: the rest of them never comes. */
const stopEvents = sql(
  "abandon.events",
  `update rotor.events set due_at = null
    where id in (select id from rotor.events where due_at is not null limit $1) returning 1`,
);

/** Answers how many unfinished jobs there were. Nothing else may be at work in the database. */
export async function abandonAll(db: Db): Promise<number> {
  for (const statement of [dropInbox, stopEvents]) {
    while ((await db.query(statement, [limits.deletedTogether])).length > 0);
  }
  let cancelled = 0;
  let after: string | undefined;
  for (;;) {
    const { count, last } = await cancelUnfinished(db, after);
    // At the end once more from the start: a cancel may have made jobs, such as those of webhooks.
    if (count === 0 && after === undefined) return cancelled;
    cancelled += count;
    after = last;
  }
}
