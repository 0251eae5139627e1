/** Ticks schedules that are due, publishes events that are, and finishes fan-outs. */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { publishRest, untilNextEvent } from "../store/publish.js";
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
      const [tickMs, eventMs] = await Promise.all([untilNextTick(db), untilNextEvent(db)]);
      const soonestMs = Math.min(tickMs ?? limits.pollMs, eventMs ?? limits.pollMs, limits.pollMs);
      return Math.max(0, Math.ceil(soonestMs));
    },
  });
}
