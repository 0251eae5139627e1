/** The time of day for what counts up or down on the page: one timer for all of it, none while nobody looks. */
import { useSyncExternalStore } from "react";

function clockOf(ms: number) {
  let now = Date.now();
  let timer: ReturnType<typeof setInterval> | undefined;
  const watchers = new Set<() => void>();
  return {
    subscribe(tell: () => void) {
      watchers.add(tell);
      timer ??= setInterval(() => {
        if (document.hidden) return;
        now = Date.now();
        for (const each of watchers) each();
      }, ms);
      return () => {
        watchers.delete(tell);
        if (watchers.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    read() {
      // Nobody has counted for it: then it is as late as it is.
      if (timer === undefined) now = Date.now();
      return now;
    },
  };
}

const seconds = clockOf(1_000);
const tenths = clockOf(100);

/** Milliseconds since 1970, anew each second. */
export const useNow = (): number => useSyncExternalStore(seconds.subscribe, seconds.read);

const still = { subscribe: () => () => undefined };

/** The same ten times a second, for what moves before one's eyes; `isMoving` false costs nothing. */
export const useMovingNow = (isMoving: boolean): number =>
  useSyncExternalStore(isMoving ? tenths.subscribe : still.subscribe, isMoving ? tenths.read : seconds.read);
