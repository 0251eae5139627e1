/** An `AbortSignal` that is made when somebody asks for it: few steps do, and making one costs as much as a small step. */

export type LazyAbort = {
  readonly signal: AbortSignal;
  /** The first counts, as an `AbortController`'s does. `reason` is called where there is a signal to tell. */
  readonly abort: (reason: () => unknown) => void;
};

export function lazyAbort(): LazyAbort {
  let controller: AbortController | undefined;
  let why: (() => unknown) | undefined;
  return {
    get signal() {
      if (!controller) {
        controller = new AbortController();
        if (why) controller.abort(why());
      }
      return controller.signal;
    },
    abort(reason) {
      if (why) return;
      why = reason;
      controller?.abort(reason());
    },
  };
}
