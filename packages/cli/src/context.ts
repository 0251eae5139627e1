/** What a command has at hand: environment, output, the client. Made once in `main.ts`; tests make their own. */

import { Rotor } from "@rotorsh/sdk";
import { type Environment, readSettings, type Settings } from "./settings.js";

export type Context = {
  readonly env: Environment;
  /** The user's home folder: `.rotor/config.json` is under it. */
  readonly home: string;
  /** The folder that the command was called in: `.rotor` of `rotor dev` is in it. */
  readonly cwd: string;
  /** Writes one line, or several, to standard output: results. */
  readonly out: (text: string) => void;
  /** Writes one line, or several, to standard error: what is said beside the result. */
  readonly err: (text: string) => void;
  /** Standard input, to its end. */
  readonly readInput: () => Promise<string>;
  /** Asks for a secret, which is not shown. */
  readonly readSecret: (question: string) => Promise<string>;
  readonly isColoured: boolean;
  /** Says what the command ends with when nothing was thrown (default 0). */
  readonly exitWith: (code: 0 | 1) => void;
};

export const settingsOf = (context: Context): Settings => readSettings(context.env, context.home);

/** The client of the configured server. */
export function clientOf(context: Context): Rotor {
  const { baseUrl, apiKey } = settingsOf(context);
  // An empty key keeps the client from looking for one by itself: which key goes to which server is decided here.
  return new Rotor({ baseUrl, apiKey: apiKey ?? "" });
}
