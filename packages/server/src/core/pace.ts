/** A pace, `10/s`: so many in each second, minute or hour, spread evenly. */
const FORM = /^([1-9]\d{0,5})\/(s|m|h)$/;
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

export const PACE_HINT = 'write how many in each second, minute or hour, such as "10/s", "100/m" or "500/h"';

/** Milliseconds between one and the next; undefined for anything else than a pace. */
export function paceMs(text: string): number | undefined {
  const parts = FORM.exec(text);
  return parts === null ? undefined : UNIT_MS[parts[2] as keyof typeof UNIT_MS] / Number(parts[1]);
}
