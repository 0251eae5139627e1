/** Ticks schedules that are due, and finishes fan-outs and approvals that time is left to finish. */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { publishRest } from "../store/publish.js";
import { tick as tickSchedules, untilNextTick } from "../store/ticks.js";
import { createLoop, type Loop } from "./loop.js";

export type SchedulerOptions = {
  readonly db: Db;
  readonly held: () => boolean;
  /** Jobs were enqueued or runs resumed. */
  readonly onDue: () => void;
  readonly onError: (error: unknown) => void;
};

export function createScheduler({ db, held, onDue, onError }: SchedulerOptions): Loop {
  return createLoop({
    onError,
    tick: async () => {
      if (held()) return limits.pollMs;
      const ticked = await tickSchedules(db);
      if (ticked.length > 0) onDue();
      // Last, so that an event which cannot be finished stops no schedule.
      const more = await publishRest(db);
      if (more) onDue();
      if (more) return 0;
      return Math.min(Math.max(0, Math.ceil((await untilNextTick(db)) ?? limits.pollMs)), limits.pollMs);
    },
  });
}
