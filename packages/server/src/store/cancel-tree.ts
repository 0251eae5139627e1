/**
 * cancel, down to children: the runs and jobs that a cancelled run had started and waited for, and theirs. From above to
 * below, a level after the other, each in transactions of its own: a run that is cancelled starts no more children, so what
 * is found below it is all that there will ever be.
 */
import { limits } from "../core/limits.js";
import { cancel } from "./control.js";
import { type Db, sql } from "./db.js";

/**
 * What these runs waited for when they were cancelled, as far as they had started it themselves: who finds a run that was
 * there already shares it with others. Of what is cancelled already, the children may be left over from an ask before.
 */
const below = sql(
  "cancel-tree.below",
  `select child.id, child.due_at is not null as unfinished
     from rotor.steps step
     join rotor.jobs run on run.id = step.job_id and run.state = 'cancelled'
     join rotor.jobs child on child.id = (step.wait ->> 'job')::uuid and child.parent_id = step.job_id
    where step.job_id = any($1::uuid[]) and step.kind in ('invoke', 'enqueue') and step.state = 'dropped'
      and (child.due_at is not null or child.state = 'cancelled')
    order by child.id`,
);

/** Runs whose children one statement looks up, and jobs that one transaction cancels. */
const TOGETHER = 500;

export type CancelledBelow = {
  /** Runs and jobs that this ask ended. */
  readonly cancelled: number;
  /** There are more: asked again, it goes on. */
  readonly more: boolean;
};

/** Cancels all that these cancelled runs waited for, up to `limits.descendants` of them. */
export async function cancelBelow(db: Db, runIds: readonly string[]): Promise<CancelledBelow> {
  let cancelled = 0;
  let level = [...runIds];
  while (level.length > 0) {
    const next: string[] = [];
    for (let from = 0; from < level.length; from += TOGETHER) {
      const found = await db.query<{ id: string; unfinished: boolean }>(below, [level.slice(from, from + TOGETHER)]);
      for (let place = 0; place < found.length; place += TOGETHER) {
        if (cancelled >= limits.descendants) return { cancelled, more: true };
        const some = found.slice(place, place + TOGETHER);
        const moved = await cancel(
          db,
          some.filter((child) => child.unfinished).map((child) => child.id),
        );
        cancelled += moved.length;
        next.push(...some.map((child) => child.id));
      }
    }
    level = next;
  }
  return { cancelled, more: false };
}
