/** How many reports one answer can carry. What becomes of the others is `replay.ts`. */

import type { Outgoing } from "./lane.js";

/** What common platforms let through; one report alone, the largest result of a step, is a little more. */
const MAX_BYTES = 4_000_000;
const MAX_REPORTS = 1_000;

/** The reports at the beginning that fit: at least one. */
export function fitting(reports: readonly Outgoing[]): readonly Outgoing[] {
  let count = 0;
  let bytes = 0;
  for (const report of reports) {
    bytes += report.bytes;
    if (count > 0 && (bytes > MAX_BYTES || count === MAX_REPORTS)) break;
    count += 1;
  }
  return reports.slice(0, count);
}
