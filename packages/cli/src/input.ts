/** What is read from standard input: data to its end, or a secret that is not shown while it is typed. */

import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";

export const readInput = (): Promise<string> => text(process.stdin);

/** Asks a person; from a pipe, reads all of it. Ctrl-C and an early end give an empty text. */
export function readSecret(question: string): Promise<string> {
  if (!process.stdin.isTTY) return readInput();
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  return new Promise((resolve) => {
    lines.once("close", () => resolve(""));
    lines.once("SIGINT", () => lines.close());
    lines.question("", (answer) => {
      resolve(answer);
      lines.close();
    });
  }).then((answer) => {
    process.stderr.write("\n");
    return answer as string;
  });
}
