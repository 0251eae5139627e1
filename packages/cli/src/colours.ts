/** Colours of a terminal, as few as help to find a failure. Whether they are used is decided once, in `main.ts`. */

const CODES = { dim: 2, red: 31, green: 32, yellow: 33 } as const;

export type Colour = keyof typeof CODES;

/** Text in a colour; as it is without one. */
export const paint = (colour: Colour | undefined, text: string): string =>
  colour === undefined ? text : `\u001b[${CODES[colour]}m${text}\u001b[0m`;

/** Only for people who look at it: not in a pipe, and not for those who said no (no-color.org). */
export const wantsColour = (isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean =>
  isTerminal && !env.NO_COLOR && env.TERM !== "dumb";
