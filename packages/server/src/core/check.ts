/** What a check of a stored run comes to, by what the code answered. Which runs are asked about is in `store/sample.ts`. */
import type { Answer, StepKind, WireError } from "@rotorsh/sdk/protocol";
import type { State } from "./job.js";

/** A stored run, as far as its end matters. */
export type Stored = {
  readonly state: State;
  /** JSON text of a completed run. */
  readonly output: string | null;
};

/** How the code fares with one stored run. */
export type Fit =
  /** It would go on; or, of a finished run, it comes to the same end. */
  | { readonly kind: "fits" }
  /** Of a finished run: it gets through, to another end. */
  | { readonly kind: "otherwise" }
  | { readonly kind: "diverges"; readonly step: string; readonly recorded: StepKind; readonly asked: StepKind | null }
  /** The code throws, or it could not be told. */
  | { readonly kind: "error"; readonly error: WireError };

export function fitOf(run: Stored, answer: Answer): Fit {
  switch (answer.status) {
    case "diverged":
      return { kind: "diverges", step: answer.step, recorded: answer.recorded, asked: answer.asked };
    case "checked":
      return run.state === "completed" ? { kind: "otherwise" } : { kind: "fits" };
    case "completed":
      // A run that failed may have been ended from outside; one that is not finished ends well.
      return run.state !== "completed" || isSame(run.output, answer.output) ? { kind: "fits" } : { kind: "otherwise" };
    case "failed":
      return run.state === "failed" ? { kind: "fits" } : { kind: "error", error: answer.error };
    default:
      return {
        kind: "error",
        error: { name: "InvalidAnswerError", message: `The app answered a check with "${answer.status}".` },
      };
  }
}

const isSame = (stored: string | null, output: unknown): boolean =>
  canonical(stored === null ? null : JSON.parse(stored)) === canonical(output);

/** JSON without the order of its keys. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
