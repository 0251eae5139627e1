/** The deliveries that a handler has in hand, and what each is told from outside: that its app shuts down, or that it is over. */

/** `hold`: nothing new may start. `leave`: a newer delivery of the same run is here, so whatever this one does is not taken. */
export type Order = "go" | "hold" | "leave";

/** One delivery in hand. By hand: an `AbortController` with a listener costs as much as a small step. */
export class InHand {
  order: Order = "go";
  /** Called after each change of `order`; whoever sets it looks at `order` once himself. */
  onOrder: () => void = () => {};

  give(order: "hold" | "leave"): void {
    if (this.order === "leave") return;
    this.order = order;
    this.onOrder();
  }
}

export type Deliveries = {
  /** Undefined where a newer delivery of this run is in hand: this one came late, from a server that stood still. */
  readonly take: (run: string, delivery: number) => InHand | undefined;
  readonly drop: (run: string, one: InHand) => void;
  /** All that are in hand, and all that come, start nothing new. */
  readonly hold: () => void;
};

export function createDeliveries(): Deliveries {
  const all = new Set<InHand>();
  const newest = new Map<string, { readonly delivery: number; readonly one: InHand }>();
  let holding = false;
  return {
    take(run, delivery) {
      const known = newest.get(run);
      if (known !== undefined && known.delivery > delivery) return undefined;
      const one = new InHand();
      if (holding) one.give("hold");
      all.add(one);
      newest.set(run, { delivery, one });
      // The same number twice is a request that something on the way repeated: either may be the one that is heard.
      if (known !== undefined && known.delivery < delivery) known.one.give("leave");
      return one;
    },
    drop(run, one) {
      all.delete(one);
      if (newest.get(run)?.one === one) newest.delete(run);
    },
    hold() {
      holding = true;
      for (const one of all) one.give("hold");
    },
  };
}
