/** The call that starts such a run once more, to be pasted into a shell or a program. No key stands in it. Pure. */
import type { Run } from "@rotorsh/sdk";
import { shellWord } from "../../ui/shell-word.js";

export const asCurl = (run: Pick<Run, "function" | "event">, baseUrl: string): string =>
  [
    `curl -X POST ${shellWord(`${baseUrl}/v1/functions/${encodeURIComponent(run.function)}/runs`)}`,
    `-H "authorization: Bearer $ROTOR_API_KEY"`,
    `-H 'content-type: application/json'`,
    `-d ${shellWord(JSON.stringify({ data: run.event.data }))}`,
  ].join(" \\\n  ");

export const asSdkCall = (run: Pick<Run, "function" | "event">): string =>
  `await rotor.runs.start(${JSON.stringify(run.function)}, ${JSON.stringify(run.event.data, null, 2)});`;
