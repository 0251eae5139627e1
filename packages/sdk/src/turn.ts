/** One turn of the event loop: what lets every continuation run before the next thing happens. Not a timer. */

// The web's form; Node's types know only its own, which is not needed where setImmediate exists.
type Channel = {
  readonly port1: { onmessage: (() => void) | null; close(): void };
  readonly port2: { postMessage(value: null): void };
};

/** Resolves after all microtasks that exist now, and those that they make, have run. */
export const turn: () => Promise<void> =
  typeof setImmediate === "function"
    ? () => new Promise((resolve) => setImmediate(resolve))
    : () =>
        new Promise((resolve) => {
          const { port1, port2 } = new MessageChannel() as unknown as Channel;
          port1.onmessage = () => {
            // An open port would keep some runtimes from going idle.
            port1.close();
            resolve();
          };
          port2.postMessage(null);
        });
