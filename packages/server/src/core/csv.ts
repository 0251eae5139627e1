/** Tables as CSV (RFC 4180) that a spreadsheet can open without running what strangers wrote. */

/** A spreadsheet takes a cell that begins so for a formula. */
const FORMULA = /^[=+\-@]/;
const CONTROL = /\p{Cc}/gu;

/** One cell: control characters left out, a would-be formula made text, quoted. */
export function csvCell(text: string): string {
  const plain = text.replaceAll(CONTROL, "");
  // Blanks before it are dropped by some readers.
  const safe = FORMULA.test(plain.trimStart()) ? `'${plain}` : plain;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** Rows with their head; every line ends with CR LF. */
export const csv = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, ...rows].map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
