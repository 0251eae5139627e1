/**
 * Many callers, one commit. A batch starts when the one before it ends, so an idle system answers at the speed of one
 * commit and a busy one batches. Knows nothing of what it writes.
 */

/** A caller's item is to go into the next batch: somebody else holds its row just now. */
export const AGAIN: unique symbol = Symbol("again");

/**
 * Of several items of one key, the first. The others are answered `AGAIN`: each is to see what the one before it wrote,
 * and two deliveries of one run, one of them stale, may meet in a batch.
 */
export function firstOfEach<Item>(items: readonly Item[], keyOf: (item: Item) => string): Item[] {
  const keys = new Set<string>();
  return items.filter((item) => keys.size < keys.add(keyOf(item)).size);
}

export type BatchWriter<Item, Result> = {
  /** Resolves once the item's batch has committed; rejects with the error of this item alone. */
  write(item: Item): Promise<Result>;
  /** Resolves when everything handed in so far has ended. */
  idle(): Promise<void>;
};

type Entry<Item, Result> = {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
  tries: number;
};

/** Times that an item may be put off before it counts as failed: about as long as a lock's time limit. */
const MAX_TRIES = 1_000;

/**
 * `writeAll` answers one result an item, in order. If it throws, the batch is halved until the culprit stands alone: one
 * caller's trouble stays his.
 */
export function batchWriter<Item, Result>(
  writeAll: (items: readonly Item[]) => Promise<readonly (Result | typeof AGAIN)[]>,
  options: {
    readonly size: number;
    /** Of an error that is no item's, such as a lost connection's: all are told at once, and nothing is halved. */
    readonly isEverybodys?: (error: unknown) => boolean;
    readonly pause?: () => Promise<void>;
  },
): BatchWriter<Item, Result> {
  let queue: Entry<Item, Result>[] = [];
  let running: Promise<void> | undefined;
  const pause = options.pause ?? (() => new Promise<void>((resolve) => setTimeout(resolve, 5)));

  const attempt = async (entries: readonly Entry<Item, Result>[]): Promise<void> => {
    let results: readonly (Result | typeof AGAIN)[];
    try {
      results = await writeAll(entries.map((entry) => entry.item));
    } catch (error) {
      if (entries.length === 1 || options.isEverybodys?.(error)) {
        for (const entry of entries) entry.reject(error);
        return;
      }
      const middle = entries.length >> 1;
      await attempt(entries.slice(0, middle));
      await attempt(entries.slice(middle));
      return;
    }
    let again = 0;
    for (const [index, entry] of entries.entries()) {
      const result = results[index]!;
      if (result !== AGAIN) entry.resolve(result);
      else if (++entry.tries >= MAX_TRIES) entry.reject(new Error("The row stayed locked by another transaction."));
      else {
        again++;
        queue.push(entry);
      }
    }
    // All of it was in other hands: without a pause this would spin.
    if (again === entries.length) await pause();
  };

  const run = async (): Promise<void> => {
    while (queue.length > 0) {
      const taken = queue.slice(0, options.size);
      queue = queue.slice(options.size);
      await attempt(taken);
    }
    running = undefined;
  };

  return {
    write: (item) =>
      new Promise<Result>((resolve, reject) => {
        queue.push({ item, resolve, reject, tries: 0 });
        // A microtask later, so that what is handed in together goes out together.
        running ??= Promise.resolve().then(run);
      }),
    idle: async () => {
      while (running !== undefined) await running;
    },
  };
}
