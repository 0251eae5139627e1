/**
 * The way to one origin: a few kept connections that short requests share, and room beside them for those that would
 * otherwise wait behind long ones. What a request is, and how it ends, is `deliver.ts`'s business.
 */

import type { Dispatcher, Pool } from "undici";
import { limits } from "../core/limits.js";

/** Something that wants to use a connection. The lane alone writes `place`. */
export type Entrant = {
  place: "outside" | "waiting" | "main" | "overflow";
  /** Called once, when there is room. */
  start(dispatcher: Dispatcher): void;
  /** Ends it at once; it leaves the lane. */
  abort(): void;
};

export type LaneOptions = {
  /** At most this many requests at a time on the main connections. */
  readonly connections: number;
  /** A request that waited this long for a main connection gets one beside them. */
  readonly patienceMs: number;
  readonly open: (connections: number) => Pool;
};

/**
 * Throughput is best with 20 to 60 connections (200 are half as fast), but a delivery to a workflow may last for hours:
 * were those the only ones, fifty long steps would stop an app, or lock it up if one of them waits for another. So
 * whoever waits longer than `patienceMs` overtakes.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #main: Pool;
  #overflow: Pool | undefined;
  #running = 0;
  readonly #inside = new Set<Entrant>();
  /** In order of arrival, with the time of arrival. */
  readonly #waiting = new Map<Entrant, number>();
  #patience: NodeJS.Timeout | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#main = options.open(options.connections);
  }

  /** True if nobody is in it. */
  get idle(): boolean {
    return this.#inside.size === 0;
  }

  /** Starts the entrant now or as soon as there is room. It must `leave`, whatever becomes of it. */
  enter(entrant: Entrant): void {
    this.#inside.add(entrant);
    if (this.#running < this.#options.connections) {
      this.#startOnMain(entrant);
      return;
    }
    entrant.place = "waiting";
    this.#waiting.set(entrant, performance.now());
    this.#patience ??= setTimeout(() => this.#overtake(), this.#options.patienceMs);
  }

  leave(entrant: Entrant): void {
    const place = entrant.place;
    entrant.place = "outside";
    this.#inside.delete(entrant);
    this.#waiting.delete(entrant);
    if (place !== "main") return;
    this.#running -= 1;
    const [next] = this.#waiting.keys();
    if (next !== undefined) {
      this.#waiting.delete(next);
      this.#startOnMain(next);
    }
  }

  /** Aborts whoever is inside and closes all connections. */
  async close(): Promise<void> {
    clearTimeout(this.#patience);
    // Waiting ones first: a running one that leaves would start them.
    for (const entrant of [...this.#waiting.keys(), ...this.#inside]) entrant.abort();
    await Promise.all([this.#main.destroy(), this.#overflow?.destroy()]);
  }

  #startOnMain(entrant: Entrant): void {
    this.#running += 1;
    entrant.place = "main";
    entrant.start(this.#main);
  }

  #overtake(): void {
    this.#patience = undefined;
    const now = performance.now();
    for (const [entrant, since] of this.#waiting) {
      const leftMs = since + this.#options.patienceMs - now;
      if (leftMs > 0) {
        this.#patience = setTimeout(() => this.#overtake(), Math.ceil(leftMs));
        return;
      }
      this.#waiting.delete(entrant);
      entrant.place = "overflow";
      // As many as a node has deliveries in hand, so nobody waits for the end of another.
      this.#overflow ??= this.#options.open(limits.inFlight);
      entrant.start(this.#overflow);
    }
  }
}
