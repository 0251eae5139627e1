/**
 * The connections that deliveries share: one lane an origin, the least recently used ones closed. It decides nothing
 * about a request; `deliver.ts` is the only user.
 */

import { Pool } from "undici";
import { guardedConnector, type Resolve, refusedBy, shared, systemResolve } from "./connector.js";
import { checkUrl, hostOf, type Policy } from "./guard.js";
import { type InProcessApp, isInProcessUrl } from "./in-process.js";
import { Lane } from "./lane.js";

export type PoolsOptions = {
  readonly policy: Policy;
  /** How names become addresses (the operating system's way). */
  readonly resolve?: Resolve;
  /** Connections to one origin that short requests share (50, where throughput was best). */
  readonly connections?: number;
  /** A request that waits this long for one of them gets one of its own (50 ms). */
  readonly patienceMs?: number;
  /** Origins whose connections are kept (200). More only while more are in use. */
  readonly origins?: number;
  /** For name, TCP and TLS together (10 s). */
  readonly connectTimeoutMs?: number;
  /** An unused connection is closed after this (3 s), or a second before the other side's `Keep-Alive: timeout`. */
  readonly keepAliveMs?: number;
  /** Certificates to trust in place of the system's, PEM. */
  readonly ca?: string | undefined;
  /** Apps in this process, by URL (none). They may be added as long as nothing is delivered. */
  readonly inProcess?: ReadonlyMap<string, InProcessApp>;
  /** Told why the guard let no connection out, at most once a second (nobody). */
  readonly onBlocked?: ((reason: string) => void) | undefined;
};

/** A place to deliver to, checked and taken apart. `refused` says no more than of a closed port. */
export type Target =
  | { readonly ok: true; readonly origin: string; readonly path: string }
  | { readonly ok: false; readonly why: "refused" | "blocked"; readonly reason: string };

/** Of an answer, names and values together; what Node's own server and most proxies allow is 16 KiB. */
const maxHeaderSize = 32 * 1_024;

/** Parsed URLs that are remembered. Parsing one costs as much as a tenth of a delivery. */
const knownTargets = 2_000;

export class Pools {
  readonly #options: Required<Omit<PoolsOptions, "ca">> & Pick<PoolsOptions, "ca">;
  #toldAt = Number.NEGATIVE_INFINITY;
  /** By workspace and origin, least recently used first. */
  readonly #lanes = new Map<string, Lane>();
  readonly #targets = new Map<string, Target>();
  #closed = false;

  constructor(options: PoolsOptions) {
    this.#options = {
      connections: 50,
      patienceMs: 50,
      origins: 200,
      connectTimeoutMs: 10_000,
      // Common servers drop an unused connection after 5 s; writing to one that is being dropped loses the request.
      keepAliveMs: 3_000,
      inProcess: new Map(),
      ...options,
      resolve: shared(options.resolve ?? systemResolve),
      onBlocked: (reason) => {
        // A queue with a blocked URL and a thousand jobs is one line of the log, not a thousand.
        if (performance.now() - this.#toldAt < 1_000) return;
        this.#toldAt = performance.now();
        options.onBlocked?.(reason);
      },
    };
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The app in this process that has this URL. */
  inProcess(url: string): InProcessApp | undefined {
    return this.#options.inProcess.get(url);
  }

  /** What a URL asks for, or why we refuse. Checked here too, since a row may have been edited by hand. */
  target(url: string): Target {
    const known = this.#targets.get(url);
    if (known !== undefined) return known;
    if (isInProcessUrl(url)) {
      const reason = `${url} is served by servers that were started with its functions, and this one was not`;
      return { ok: false, why: "refused", reason };
    }
    const check = checkUrl(url, this.#options.policy);
    const target: Target = check.ok
      ? { ok: true, origin: check.url.origin, path: check.url.pathname + check.url.search }
      : check.what === "form"
        ? { ok: false, why: "blocked", reason: check.reason }
        : { ok: false, why: "refused", reason: refusedBy(hostOf(new URL(url))) };
    if (!check.ok) this.#options.onBlocked?.(check.reason);
    const [oldest] = this.#targets.keys();
    if (oldest !== undefined && this.#targets.size >= knownTargets) this.#targets.delete(oldest);
    this.#targets.set(url, target);
    return target;
  }

  /**
   * The lane to an origin. Workspaces share none: bytes that a hostile endpoint leaves behind on a connection can reach
   * only answers of its own workspace.
   */
  lane(origin: string, workspace = ""): Lane {
    const key = `${workspace} ${origin}`;
    const lane = this.#lanes.get(key) ?? this.#newLane(origin);
    this.#lanes.delete(key);
    this.#lanes.set(key, lane);
    return lane;
  }

  /**
   * Ends whatever is under way as `aborted` and closes all connections; later deliveries are `aborted`, too. To stop
   * gently, wait for the deliveries first. Twice is harmless.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const lanes = [...this.#lanes.values()];
    this.#lanes.clear();
    await Promise.all(lanes.map((lane) => lane.close()));
  }

  #newLane(origin: string): Lane {
    for (const [key, lane] of this.#lanes) {
      if (this.#lanes.size < this.#options.origins) break;
      if (!lane.idle) continue;
      this.#lanes.delete(key);
      // Nothing is under way in it, so there is nobody to tell when the sockets are gone.
      void lane.close();
    }
    const { connections, patienceMs, keepAliveMs } = this.#options;
    const connect = guardedConnector(new URL(origin), this.#options);
    const open = (size: number): Pool =>
      new Pool(origin, {
        connections: size,
        pipelining: 1,
        connect,
        keepAliveTimeout: keepAliveMs,
        keepAliveMaxTimeout: Math.max(keepAliveMs, 60_000),
        keepAliveTimeoutThreshold: 1_000,
        maxHeaderSize,
        // `deliver.ts` has its own limits; these would be the ones of undici, five minutes.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
    return new Lane({ connections, patienceMs, open });
  }
}
