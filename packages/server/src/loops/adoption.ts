/**
 * Whether this server is held: its database belongs to another environment, a copy perhaps, and nothing may leave it.
 * While it is, it looks every second whether somebody adopted it; who does is not decided here.
 */
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import { isHeld } from "../store/workspaces.js";
import { createLoop, type Loop } from "./loop.js";

export type AdoptionOptions = {
  readonly db: Db;
  /** This server's. */
  readonly environment: string;
  /** At the start. */
  readonly held: boolean;
  /** Told once; what fails in it is reported, and the server is not held again. */
  readonly onAdopted: () => Promise<void>;
  readonly onError: (error: unknown) => void;
};

export type Adoption = Pick<Loop, "start" | "stop"> & {
  /** Nothing may be delivered. */
  held(): boolean;
};

/** A server that is not held has nothing to look for: only a start holds one. */
const NOTHING_LEFT_MS = 3_600_000;

export function createAdoption({ db, environment, held: atStart, onAdopted, onError }: AdoptionOptions): Adoption {
  let held = atStart;
  const loop = createLoop({
    onError,
    tick: async () => {
      if (held && (await isHeld(db, environment))) return limits.pollMs;
      if (held) {
        held = false;
        await onAdopted();
      }
      return NOTHING_LEFT_MS;
    },
  });
  return { start: () => loop.start(), stop: () => loop.stop(), held: () => held };
}
