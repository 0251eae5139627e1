/** `rotor login`: stores a server's address and key for later commands. The environment wins over what is stored. */

import { Rotor, RotorApiError, RotorConnectionError } from "@rotorsh/sdk";
import type { Command } from "commander";
import { type JsonOption, leaf, show } from "../command.js";
import { type Context, settingsOf } from "../context.js";
import { CommandError, noServer, UsageError } from "../failure.js";
import { clean } from "../output.js";
import { readSettings, storeSettings } from "../settings.js";

type Flags = JsonOption & { readonly key?: string };

/** Asks the server whether it knows the key; one without the scope to list queues is a good one too. */
async function check(baseUrl: string, apiKey: string): Promise<void> {
  try {
    await new Rotor({ baseUrl, apiKey }).queues.list({ limit: 1 }).page();
  } catch (error) {
    if (error instanceof RotorApiError && error.status === 403) return;
    if (error instanceof RotorConnectionError && error.reason === "unreachable")
      throw new CommandError(noServer(baseUrl));
    throw error;
  }
}

export function addLogin(program: Command, context: Context): void {
  leaf(program, "login [url]", "store a server's address and API key for later commands")
    .option("--key <key>", "the API key; without it, it is read from standard input, which no list of processes shows")
    .action(async (url: string | undefined, flags: Flags) => {
      const baseUrl =
        url === undefined
          ? settingsOf(context).baseUrl
          : readSettings({ ROTOR_BASE_URL: url, ROTOR_API_KEY: "-" }, context.home).baseUrl;
      const apiKey = (flags.key ?? (await context.readSecret("API key: "))).trim();
      if (!/^rt_ws_\S+$/.test(apiKey))
        throw new UsageError("An API key begins with rt_ws_; `rotor keys create` makes one.");
      await check(baseUrl, apiKey);
      const file = storeSettings(context.home, { baseUrl, apiKey });
      show(
        context,
        flags,
        { baseUrl, file },
        () => `Commands now speak to ${clean(baseUrl)}; stored in ${clean(file)}.`,
      );
    });
}
