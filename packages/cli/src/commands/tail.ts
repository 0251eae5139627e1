/** `rotor tail`: what happens on a running server, a line each, until it is stopped. */

import type { Command } from "commander";
import { type JsonOption, leaf } from "../command.js";
import { type Context, settingsOf } from "../context.js";
import { CommandError, noServer } from "../failure.js";
import { feedLine, followFeed } from "../feed.js";
import { json } from "../output.js";
import { untilAsked } from "../stopping.js";

const isRefused = (error: unknown): boolean =>
  error instanceof Error && "code" in error && ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"].includes(String(error.code));

export function addTail(program: Command, context: Context): void {
  leaf(program, "tail", "print what happens on the server, as it happens").action(async (options: JsonOption) => {
    const { baseUrl, apiKey } = settingsOf(context);
    const { isColoured } = context;
    const stopping = untilAsked(() => undefined);
    let state: "never" | "open" | "lost" = "never";
    const attempt = new AbortController();
    await followFeed({
      baseUrl,
      apiKey,
      signal: AbortSignal.any([stopping.signal, attempt.signal]),
      onEntry: (entry) =>
        context.out(options.json ? json(entry, { isOneLine: true }) : feedLine(entry, { baseUrl, isColoured })),
      onOpen: () => {
        context.err(state === "lost" ? "Connected again." : `Watching ${baseUrl}; Ctrl-C ends it.`);
        state = "open";
      },
      onLost: (error) => {
        // A server that was never there is most likely not meant to be waited for.
        if (state === "never" && isRefused(error)) attempt.abort();
        else if (state !== "lost") {
          context.err(`The connection to ${baseUrl} is lost; trying again.`);
          state = "lost";
        }
      },
    });
    if (attempt.signal.aborted) throw new CommandError(noServer(baseUrl));
  });
}
