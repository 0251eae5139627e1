/** Steps as they are written: those that need nothing read before. */
import type { Report, WireError } from "@rotorsh/sdk/protocol";
import { failureText } from "../core/step-failures.js";

/** A step to be written. */
export type Row = {
  readonly jobId: string;
  readonly key: string;
  readonly kind: Report["kind"];
  readonly state: "waiting" | "completed" | "failed";
  readonly attempt: number;
  readonly delayMs: number | null;
  readonly untilMs: number | null;
  readonly waitKey: string | null;
  readonly wait: string | null;
  readonly durationMs: number | null;
  readonly output: string | null;
  readonly error: string | null;
  /** Of an attempt that is followed by another: what is kept of it. */
  readonly failure: string | null;
};

export type Base = Omit<Row, "state">;

/** A row that says nothing but whose it is. */
export const baseRow = (jobId: string, report: Report): Base => ({
  jobId,
  key: report.key,
  kind: report.kind,
  attempt: 1,
  delayMs: null,
  untilMs: null,
  waitKey: null,
  wait: null,
  durationMs: null,
  output: null,
  error: null,
  failure: null,
});

export const failed = (base: Base, error: WireError): Row => ({
  ...base,
  state: "failed",
  error: JSON.stringify(error),
});

/** Needs nothing read before it is written: one statement does any number of them. */
export const isPlain = (report: Report): boolean => report.kind === "run" || report.kind === "sleep";

export function plainRow(jobId: string, report: Report): Row {
  const base = baseRow(jobId, report);
  if (report.kind === "run") {
    const done = { ...base, attempt: report.attempt, durationMs: report.duration_ms };
    if (report.outcome === "completed") return { ...done, state: "completed", output: JSON.stringify(report.output) };
    return report.outcome === "failed"
      ? failed(done, report.error)
      : {
          ...done,
          state: "waiting",
          delayMs: report.delay_ms,
          error: JSON.stringify(report.error),
          failure: failureText(report),
        };
  }
  if (report.kind !== "sleep") throw new Error(`${report.kind} is no plain step`);
  return "until_ms" in report
    ? { ...base, state: "waiting", untilMs: report.until_ms }
    : { ...base, state: "waiting", delayMs: report.delay_ms };
}
