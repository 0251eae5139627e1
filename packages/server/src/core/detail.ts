/**
 * What of a call is kept with its attempt, for the person who asks why it failed: both heads, and where the time went.
 * Never a secret, never a body.
 */

/** Of one delivery. Times are in milliseconds; a part that was not reached is left out. */
export type Detail = {
  /** As sent; the values of signatures, capabilities and of headers that hold secrets are replaced by `…`. */
  readonly request?: { readonly url: string; readonly headers: Readonly<Record<string, string>> };
  readonly response?: { readonly headers: Readonly<Record<string, string>> };
  readonly timing?: {
    /** From being due to being claimed and sent off. */
    readonly queueMs?: number;
    /** Until there was a connection: 0 for one that was kept alive. */
    readonly connectMs?: number;
    /** From the request's last byte to the answer's head. */
    readonly waitMs?: number;
    /** Of the answer's body. */
    readonly readMs?: number;
  };
};
