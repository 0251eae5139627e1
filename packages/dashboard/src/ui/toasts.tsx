/** Short words that something was done, or could not be. Read out; gone after some seconds. */
import { lazy, Suspense, useSyncExternalStore } from "react";
import { messageOf } from "./error-notice.js";

const load = () => import("./toast-list.js");
const ToastList = lazy(async () => ({ default: (await load()).ToastList }));

let isWanted = false;
const watchers = new Set<() => void>();
let onReady: () => void = () => undefined;
const ready = new Promise<void>((resolve) => {
  onReady = resolve;
});

type Words = Parameters<Awaited<ReturnType<typeof load>>["manager"]["add"]>[0];

async function say(words: Words): Promise<void> {
  isWanted = true;
  for (const each of watchers) each();
  const { manager } = await load();
  await ready;
  manager.add(words);
}

/** Says that something was done. */
export const tell = (title: string): void => {
  void say({ title, timeout: 4_000 });
};

/** Says why something could not be done. Stays longer. */
export const tellError = (error: unknown): void => {
  void say({
    title: "That did not work",
    description: messageOf(error),
    type: "error",
    priority: "high",
    timeout: 12_000,
  });
};

/** Where they are seen: once on the page. */
export function Toasts() {
  const shown = useSyncExternalStore(
    (watch) => {
      watchers.add(watch);
      return () => watchers.delete(watch);
    },
    () => isWanted,
  );
  return (
    shown && (
      <Suspense>
        <ToastList onReady={onReady} />
      </Suspense>
    )
  );
}
