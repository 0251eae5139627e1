/**
 * What ends a wait sooner, as 128 bits that index well. Two things share a key only if they are the same thing: whoever
 * looks a key up tests the whole condition again.
 */
import { createHash } from "node:crypto";
import { limits } from "./limits.js";

/** A path into an event's data and the value that it must equal. */
export type Equality = { readonly path: string; readonly value: string | number | boolean | null };

const hash = (...parts: readonly string[]): string => {
  const hex = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

/** Canonical by type as CEL compares: `1 == 1.0`, but `1 != "1"`. */
const canonical = (value: Equality["value"]): string =>
  typeof value === "number" ? `n${value === 0 ? 0 : value}` : typeof value === "string" ? `s${value}` : `${value}`;

export const eventKey = (workspace: string, event: string, equality?: Equality): string =>
  equality === undefined
    ? hash("event", workspace, event)
    : hash("event", workspace, event, equality.path, canonical(equality.value));

export const signalKey = (workspace: string, signal: string): string => hash("signal", workspace, signal);

export const childKey = (jobId: string): string => hash("child", jobId);

/**
 * The keys under which waits for this event may be stored: the bare one, and one for each scalar leaf of its data.
 * Undefined where it has more leaves than are looked up.
 */
export function keysOfEvent(workspace: string, event: string, data: unknown): string[] | undefined {
  const keys = new Set([eventKey(workspace, event)]);
  const visit = (value: unknown, path: string): void => {
    if (keys.size > limits.eventLeaves) return;
    if (value === null || typeof value !== "object") {
      if (typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null) {
        keys.add(eventKey(workspace, event, { path, value }));
      }
      return;
    }
    // A path goes through objects only: an index into a list is not a field.
    if (Array.isArray(value)) return;
    for (const [name, inner] of Object.entries(value)) visit(inner, path === "" ? name : `${path}.${name}`);
  };
  visit(data, "");
  return keys.size > limits.eventLeaves ? undefined : [...keys];
}
