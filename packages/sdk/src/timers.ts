/** The timers of one delivery, which all end with it. */

/** Longer than any delivery needs, shorter than what overflows a timer. */
export const MAX_TIMER_MS = 86_400_000;

export type Timers = {
  /** Does `act` after that time. Answers what takes it back. */
  readonly after: (ms: number, act: () => void) => () => void;
  readonly clear: () => void;
};

export function createTimers(): Timers {
  const running = new Set<ReturnType<typeof setTimeout>>();
  return {
    after: (ms, act) => {
      const timer = setTimeout(act, Math.min(MAX_TIMER_MS, Math.max(0, Math.ceil(ms))));
      running.add(timer);
      return () => {
        clearTimeout(timer);
        running.delete(timer);
      };
    },
    clear: () => {
      for (const timer of running) clearTimeout(timer);
    },
  };
}
