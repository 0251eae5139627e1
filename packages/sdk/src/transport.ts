/**
 * What one HTTP exchange looks like to the client and to checkpoints. The exchange itself is `transport.node.ts` or
 * `transport.portable.ts`, chosen by the package's imports map as `#transport`. No retries by status, no JSON.
 */

export type TransportRequest = {
  readonly method: string;
  /** Names in lower case. `content-length` is set by the transport. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Ends the exchange; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
  /** For the whole exchange, the answer's body included. */
  readonly timeoutMs: number;
  /** Carried out twice it does no harm: so it is sent again, once, where a kept connection turns out to be closed. */
  readonly repeatable?: boolean;
  /**
   * Never queues for a connection, nor lets others queue behind it: for checkpoints, which keep deliveries alive, and for
   * requests that the server holds until something happens.
   */
  readonly apart?: boolean;
};

export type TransportResponse = {
  readonly status: number;
  /** A header by its lower-case name; several of one name are joined by a comma. */
  readonly header: (name: string) => string | undefined;
  /** The whole body, read as UTF-8. */
  readonly text: string;
};

/**
 * Sends a request and reads the whole answer. Redirects are answers.
 * @throws RotorConnectionError when no whole answer came; the signal's reason when it was aborted.
 */
export type Send = (url: string, request: TransportRequest) => Promise<TransportResponse>;

/** An answer beyond this is not the server's: pages and outputs are far smaller. */
export const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
