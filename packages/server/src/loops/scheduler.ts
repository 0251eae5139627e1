/** Ticks schedules that are due, and finishes fan-outs and approvals that time is left to finish. */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { publishRest } from "../store/publish.js";
import { tick as tickSchedules, untilNextTick } from "../store/schedules.js";
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
      const more = await publishRest(db);
      const ticked = await tickSchedules(db);
      if (more || ticked.length > 0) onDue();
      if (more) return 0;
      return Math.min(Math.max(0, Math.ceil((await untilNextTick(db)) ?? limits.pollMs)), limits.pollMs);
    },
  });
}
