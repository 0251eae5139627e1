/** The one helper for what runs by itself. A tick does one bounded batch and says how long to sleep. */

export type Loop = {
  start(): void;
  /** Resolves when the tick in hand has ended. Twice is harmless. */
  stop(): Promise<void>;
  /** Something may be due: sleeps no longer. During a tick: another one follows at once. */
  wake(): void;
  /** Runs one tick now, for tests; the loop must not be started. */
  tick(): Promise<number>;
};

export type LoopOptions = {
  /** One bounded batch; answers the milliseconds until the next. */
  readonly tick: () => Promise<number>;
  /** A tick that throws is reported, and tried again after `retryMs` (default one second). */
  readonly onError: (error: unknown) => void;
  readonly retryMs?: number;
};

/** `setTimeout` fires at once for more than 2^31 ms: sleeps are cut to a minute. */
const LONGEST_SLEEP_MS = 60_000;

export function createLoop(options: LoopOptions): Loop {
  let state: "idle" | "running" | "stopped" = "idle";
  let woken = false;
  let failed = false;
  let cutSleep: (() => void) | undefined;
  let ended: Promise<void> | undefined;

  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, LONGEST_SLEEP_MS));
      cutSleep = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const run = async (): Promise<void> => {
    while (state === "running") {
      woken = false;
      let pauseMs: number;
      failed = false;
      try {
        pauseMs = await options.tick();
      } catch (error) {
        options.onError(error);
        pauseMs = options.retryMs ?? 1_000;
        failed = true;
      }
      if (state === "running" && (failed || !woken) && pauseMs > 0) await sleep(pauseMs);
      cutSleep = undefined;
    }
  };

  return {
    start() {
      if (state !== "idle") return;
      state = "running";
      ended = run();
    },
    async stop() {
      state = "stopped";
      cutSleep?.();
      await ended;
    },
    wake() {
      woken = true;
      // What failed is not tried again sooner, however many ask: while the database is away, many do.
      if (!failed) cutSleep?.();
    },
    tick: options.tick,
  };
}
