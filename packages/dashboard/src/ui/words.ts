/** Small words. */

/** The end of an id of ours: its beginning is the time, and alike for all of a minute. */
export const shortId = (id: string): string => (id.length > 12 ? `…${id.slice(-8)}` : id);

/** `1 job`, `5,000 jobs`. */
export const plural = (count: number, noun: string): string =>
  `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
