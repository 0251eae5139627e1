/** What happens on this node, as it happens, for whoever watches: a hint, never a source. Entries are kept by nobody. */

export type FeedEntry = {
  readonly workspace: string;
  /** ISO 8601. */
  readonly at: string;
  /** `changed`: somebody did what the audit tells, `action` to `id`. */
  readonly type: "delivery" | "step" | "event" | "enqueued" | "changed";
  readonly [detail: string]: unknown;
};

export type Feed = {
  publish(entry: Omit<FeedEntry, "at">): void;
  /** Answers the way to stop listening. A listener must not throw. */
  subscribe(listener: (entry: FeedEntry) => void): () => void;
};

export function createFeed(): Feed {
  const listeners = new Set<(entry: FeedEntry) => void>();
  return {
    publish(entry) {
      // Nobody watches a busy server most of the time: nothing is made then.
      if (listeners.size === 0) return;
      const dated = { ...entry, at: new Date().toISOString() } as FeedEntry;
      for (const listener of listeners) listener(dated);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
