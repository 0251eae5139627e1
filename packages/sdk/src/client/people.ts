/** What people decide: signals that a run waits for, and approvals that a job waits for. */

import type { Approval } from "../api.js";
import type { Duration } from "../duration.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** What became of a completed signal: a run goes on, or it is kept for the wait to come. */
export type CompletedSignal =
  | { readonly runId: string; readonly buffered?: never }
  | { readonly buffered: true; readonly until: string; readonly runId?: never };

/** The calls of `rotor.signals`. */
export const signalsOf = (call: Call) => {
  type Completing = CallOptions & { readonly bufferFor?: Duration };
  async function complete(
    id: string,
    data: unknown,
    options: Completing & { readonly bufferFor: Duration },
  ): Promise<CompletedSignal>;
  async function complete(
    id: string,
    data?: unknown,
    options?: CallOptions & { readonly bufferFor?: undefined },
  ): Promise<{ readonly runId: string }>;
  async function complete(
    id: string,
    data?: unknown,
    { bufferFor, ...options }: Completing = {},
  ): Promise<CompletedSignal> {
    const body = { data: data === undefined ? null : data, bufferFor };
    return (await call("POST", `/v1/signals/${segment(id)}/complete`, { ...options, body })) as CompletedSignal;
  }
  return {
    /**
     * Gives `data` to the run that waits for this signal. Not tried again by itself after a lost answer: the signal may
     * have been used up. Where nobody waits for it, it is kept for `bufferFor`, and the next wait for it has it at once;
     * without `bufferFor` that is an error (404), and so is a second one while the first is kept (409).
     */
    complete,
    /**
     * A link for a mail or a button: its page completes the signal, with `data`, once; looking at it does nothing. Who is
     * faster than the run that is to wait loses nothing: the signal is kept as long as the link is good.
     */
    url: async (
      signal: string,
      { expires, data, ...options }: CallOptions & { readonly expires: Duration; readonly data?: unknown },
    ): Promise<string> => {
      const body = { expires, data: data === undefined ? null : data };
      const path = `/v1/signals/${segment(signal)}/links`;
      return ((await call("POST", path, { ...options, body, repeatable: true })) as { url: string }).url;
    },
  };
};

/** The calls of `rotor.approvals`. A job that was decided on already is an error (409). */
export const approvalsOf = (call: Call) => {
  type Decision = CallOptions & { readonly reason?: string };
  const decide = async (id: string, verb: "approve" | "reject", { reason, ...options }: Decision = {}) =>
    call("POST", `/v1/approvals/${segment(id)}/${verb}`, { ...options, body: { reason } }) as Promise<Approval>;
  return {
    list: ({ status, ...options }: ListOptions & { readonly status?: Approval["status"] } = {}) =>
      listingOf<Approval>(call, "/v1/approvals", options, { status }),
    /** Lets the job go. */
    approve: (id: string, decision?: Decision) => decide(id, "approve", decision),
    /** Fails the job. */
    reject: (id: string, decision?: Decision) => decide(id, "reject", decision),
  };
};
