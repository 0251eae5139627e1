/** What a wait waits for, as a list: one thing, or with `waitForAny` the first of several. Pure. */
import type { AnyReport, EventReport, MatchObject, Report, SignalReport } from "@rotorsh/sdk/protocol";

/** `name` is null where the wait is for this alone: then its output is the data itself. */
export type Part = { readonly name: string | null } & (
  | { readonly event: string; readonly match?: string | MatchObject }
  | { readonly signal: string }
);

export type WaitReport = EventReport | SignalReport | AnyReport;

export const isWait = (report: Report): report is WaitReport =>
  report.kind === "event" || report.kind === "signal" || report.kind === "any";

/** In the order of the code. */
export function partsOf(report: WaitReport): readonly Part[] {
  if (report.kind === "any") return report.parts;
  return [
    report.kind === "event"
      ? { name: null, event: report.event, match: report.match }
      : { name: null, signal: report.signal },
  ];
}

/** The ids of the signals among these. */
export const signalsOf = (report: Report): string[] =>
  isWait(report) ? partsOf(report).flatMap((part) => ("signal" in part ? [part.signal] : [])) : [];

/** What the code gets from the part that ended its wait. `data` is JSON text, and so is the answer. */
export const partOutput = (name: string | null, data: string): string =>
  name === null ? data : `{"name":${JSON.stringify(name)},"data":${data}}`;
