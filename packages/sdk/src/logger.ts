/** The logger that a function is given: the console, silent while stored results are replayed. */

import type { Logger } from "./function.js";

/** @param speaks asked at each line. */
export function loggerWhile(speaks: () => boolean): Logger {
  const line =
    (level: keyof Logger) =>
    (...values: unknown[]) => {
      if (speaks()) console[level](...values);
    };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}
