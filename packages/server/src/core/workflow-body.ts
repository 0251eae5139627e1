/**
 * The body of a delivery to an app: the run, its event and its steps. Stored JSON is passed through as text, so that
 * nothing is parsed here that the app parses again.
 */
import { PROTOCOL_VERSION } from "@rotorsh/sdk/protocol";

/** A stored step; `output` and `error` are JSON text. */
export type BodyStep = {
  readonly key: string;
  readonly kind: string;
  readonly state: string;
  readonly attempt: number;
  readonly seq: string | null;
  readonly dueInMs: number | null;
  readonly output: string | null;
  readonly error: string | null;
};

export type BodyRun = {
  readonly app: string;
  readonly function: string;
  readonly run: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  /** JSON text. */
  readonly event: string;
  /** Of a batch: the events behind the first, as JSON texts with commas between them. */
  readonly batched?: string | null;
  readonly checkpoint: { readonly url: string; readonly token: string };
  /** A question whether the code fits what is stored, and no delivery. */
  readonly check?: true;
};

export function stepText(step: BodyStep): string {
  const place = step.seq === null ? `"due_in_ms":${Math.ceil(step.dueInMs ?? 0)}` : `"seq":${step.seq}`;
  const output = step.state === "completed" ? `,"output":${step.output ?? "null"}` : "";
  // Why an unfinished step failed is for people to read; a hundred of these errors would not fit.
  const error = step.error === null || step.state !== "failed" ? "" : `,"error":${step.error}`;
  return `{"key":${JSON.stringify(step.key)},"kind":"${step.kind}","state":"${step.state}","attempt":${step.attempt},${place}${output}${error}}`;
}

/** The steps of a body: finished ones in their order, then the unfinished. `more` is the cursor of what is older. */
export type BodySteps = { readonly steps: readonly BodyStep[]; readonly more: string | null };

/**
 * The body's text, at most about `bytes` long: unfinished steps first, then the newest finished ones; `more` in it is the
 * cursor for the rest.
 */
export function workflowBody(run: BodyRun, history: BodySteps, bytes: number): string {
  const events = run.batched ? `"events":[${run.event},${run.batched}],` : "";
  let room = bytes - Buffer.byteLength(run.event) - Buffer.byteLength(events) - 1_000;
  const kept: string[] = [];
  let { more } = history;
  for (let index = history.steps.length - 1; index >= 0; index--) {
    const step = history.steps[index]!;
    const text = stepText(step);
    room -= Buffer.byteLength(text) + 1;
    if (room < 0 && step.seq !== null) {
      more = String(Number(step.seq) + 1);
      break;
    }
    kept.push(text);
  }
  kept.reverse();
  return (
    `{"version":${PROTOCOL_VERSION},"app":${JSON.stringify(run.app)},"function":${JSON.stringify(run.function)},"run":"${run.run}",` +
    `"delivery":${run.delivery},"attempt":${run.attempt},"max_attempts":${run.maxAttempts},"event":${run.event},${events}` +
    `${run.check === true ? '"check":true,' : ""}"steps":[${kept.join(",")}],"more":${JSON.stringify(more)},` +
    `"checkpoint":${JSON.stringify(run.checkpoint)}}`
  );
}
