/** What people decide: signals that a run waits for, and approvals that a job waits for. */

import type { Approval } from "../api.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** The calls of `rotor.signals`. */
export const signalsOf = (call: Call) => ({
  /**
   * Gives `data` to the run that waits for this signal. Not tried again by itself after a lost answer: the signal may have
   * been used up.
   * A wait that has not begun yet, or is over, is an error (404).
   */
  complete: async (id: string, data?: unknown, options: CallOptions = {}): Promise<{ readonly runId: string }> => {
    const body = { data: data === undefined ? null : data };
    return (await call("POST", `/v1/signals/${segment(id)}/complete`, { ...options, body })) as {
      readonly runId: string;
    };
  },
});

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
