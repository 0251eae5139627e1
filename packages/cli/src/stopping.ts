/** Ctrl-C for the commands that run until they are stopped: the first asks gently, the second ends at once. */

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `npx` passes a Ctrl-C on that the terminal has sent already: what comes this soon is the same one. */
const ECHO_MS = 250;

export type Stopping = {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Resolves with the first signal. */
  readonly asked: Promise<void>;
};

/**
 * Listens for the rest of this process: a signal that comes late must not end it in the middle of its stopping.
 * @param onAsked is told of the first signal.
 */
export function untilAsked(onAsked: () => void): Stopping {
  const controller = new AbortController();
  let askedAt: number | undefined;
  const handle = (): void => {
    if (askedAt === undefined) {
      askedAt = performance.now();
      onAsked();
      controller.abort();
    } else if (performance.now() - askedAt > ECHO_MS) {
      process.exit(1);
    }
  };
  for (const name of SIGNALS) process.on(name, handle);
  return {
    signal: controller.signal,
    asked: new Promise((resolve) => {
      controller.signal.addEventListener("abort", () => resolve(), { once: true });
    }),
  };
}
