/** What a server says of itself when it has started: a few lines for people, one for programs. */

import { clean, json } from "./output.js";
import { VERSION } from "./version.js";

/** What is told of a server; `Rotor` of the server's package has it. */
export type Started = {
  readonly url: string;
  readonly store: string;
  readonly held: boolean;
  readonly environment: string;
};

export type BannerOptions = {
  readonly isJson: boolean;
  /** Further lines, each a word and what it says. */
  readonly more?: readonly (readonly [word: string, text: string])[];
};

/** The first line has the address. */
export function startedLines({ url, store, held, environment }: Started, { isJson, more = [] }: BannerOptions): string {
  if (isJson) return json({ type: "started", url, store, held, environment }, { isOneLine: true });
  const heldLine = `this database belongs to ${environment}: nothing is delivered until \`rotor adopt --release\` or \`--cancel-all\``;
  const lines = [["store", store] as const, ...more, ...(held ? [["held", heldLine] as const] : [])];
  return [
    `Rotor ${VERSION} listens at ${url}`,
    ...lines.map(([word, text]) => `  ${word.padEnd(6)} ${clean(text)}`),
  ].join("\n");
}
