/**
 * Which step is being executed, for calls made somewhere inside it. So a client used in a step can give its requests ids
 * that come out the same when the step is repeated. Not the step's own API: that is handed to the step's function.
 */

type Frame = { readonly key: string; readonly traceparent: string | undefined; calls: number };

/** The part of `AsyncLocalStorage` that is used. */
type Storage = { run<T>(frame: Frame, fn: () => T): T; getStore(): Frame | undefined };

// Asked of the runtime at load, since a static import of `node:async_hooks` would break where it does not exist.
// Edge runtimes have it as a global; Node (20.16), Bun, Deno and Workers behind `getBuiltinModule`.
function findStorage(): Storage | undefined {
  const runtime = globalThis as unknown as {
    AsyncLocalStorage?: new () => Storage;
    process?: { getBuiltinModule?: (id: string) => { AsyncLocalStorage?: new () => Storage } | undefined };
  };
  const Found = runtime.AsyncLocalStorage ?? runtime.process?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage;
  return Found && new Found();
}

const storage = findStorage();

/** Runs `fn` as the step of this key: the key is seen by everything that `fn` calls or awaits. Counting of calls starts anew. */
export const runWithStepKey = <T>(key: string, fn: () => T, traceparent?: string): T =>
  storage ? storage.run({ key, traceparent, calls: 0 }, fn) : fn();

/** The key of the step that is being executed; undefined outside of steps, and where the runtime cannot tell. */
export const currentStepKey = (): string | undefined => storage?.getStore()?.key;

/** The trace context of the delivery whose step is being executed: what it calls is part of that trace. */
export const currentTraceparent = (): string | undefined => storage?.getStore()?.traceparent;

/**
 * An id for the n-th call within the current step, `<key>/<n>` from 1: a repeat of the step that makes its calls in the
 * same order gets the same ids. Undefined outside of steps.
 */
export function nextIdInStep(): string | undefined {
  const frame = storage?.getStore();
  if (!frame) return undefined;
  frame.calls += 1;
  return `${frame.key}/${frame.calls}`;
}
