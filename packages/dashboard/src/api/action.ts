/** Something that a button does: carried out once at a time, told of when it is done, and what it touched asked for again. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { tell, tellError } from "../ui/toasts.js";

type Action = {
  /** What is said when it is done; undefined: its effect is to be seen. */
  readonly done?: string;
  /** First words of the keys in the cache that it touches. */
  readonly touches: readonly string[];
};

/** Asks again for all that is kept under these words. */
export function useTouch(): (...words: readonly string[]) => Promise<void> {
  const cache = useQueryClient();
  return (...words) => cache.invalidateQueries({ predicate: ({ queryKey }) => words.includes(String(queryKey[0])) });
}

export function useAction(): {
  readonly isBusy: boolean;
  readonly act: (work: () => Promise<unknown>, action: Action) => Promise<void>;
} {
  const touch = useTouch();
  const [isBusy, setBusy] = useState(false);
  return {
    isBusy,
    act: async (work, { done, touches }) => {
      setBusy(true);
      try {
        await work();
        if (done !== undefined) tell(done);
      } catch (error) {
        tellError(error);
      } finally {
        setBusy(false);
        // Also where it failed: then the page shows what it is that was not as it seemed.
        await touch(...touches);
      }
    },
  };
}
