/** `rotor dev`: Postgres, server and feed in one command, and the apps of this machine found by themselves. */

import { Rotor } from "@rotorsh/sdk";
import type { Command } from "commander";
import { type AppNews, findApps, targetsOf, USUAL_PATH, USUAL_PORTS } from "../app-finder.js";
import { portNumber, several } from "../arguments.js";
import { startedLines } from "../banner.js";
import { paint } from "../colours.js";
import { type JsonOption, leaf } from "../command.js";
import type { Context } from "../context.js";
import { failureOf } from "../failure.js";
import { type FeedEntry, feedLine, followFeed } from "../feed.js";
import { clock } from "../feed-lines.js";
import { clean, cleanLines, json } from "../output.js";
import { untilAsked } from "../stopping.js";
import { loadServer } from "../store.js";

type Flags = JsonOption & { readonly url?: readonly string[]; readonly port?: number };

/** A server that listens on all addresses is reached on this machine's own. */
const localUrl = (url: string): string => url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");

function newsText(news: AppNews): string {
  if (news.kind === "lost") return `lost      ${news.url} does not answer any more`;
  if (news.kind === "refused") return `${news.url}: ${news.message}`;
  const functions = news.functions.length === 0 ? "no functions" : news.functions.join(", ");
  return `${news.kind.padEnd(8)}  ${news.url} (${news.app}): ${functions}`;
}

/** Prints what happens, as lines or as JSON. */
const printersOf = (context: Context, isJson: boolean, baseUrl: string) => ({
  feed: (entry: FeedEntry): void =>
    context.out(
      isJson ? json(entry, { isOneLine: true }) : feedLine(entry, { baseUrl, isColoured: context.isColoured }),
    ),
  news: (news: AppNews): void => {
    const at = new Date().toISOString();
    if (isJson) {
      context.out(json({ type: "app", at, ...news }, { isOneLine: true }));
      return;
    }
    const colour = (name: "dim" | "yellow" | undefined, text: string) =>
      paint(context.isColoured ? name : undefined, text);
    const text = colour(news.kind === "refused" ? "yellow" : undefined, clean(newsText(news)));
    context.out(`${colour("dim", clock(at))}  app       ${text}`);
  },
});

const banner = [
  ["key", "no key needed on this machine"],
  [
    "apps",
    `looked for at ${USUAL_PATH} on ports ${USUAL_PORTS.join(", ")}; run yours with ROTOR_DEV=1, or name it: rotor dev -u URL`,
  ],
] as const;

/** Follows the feed. A server that listens elsewhere than on loopback may ask for a key: then it runs without lines. */
function openFeed(context: Context, baseUrl: string, signal: AbortSignal, onEntry: (entry: FeedEntry) => void) {
  let onOpen = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    onOpen = resolve;
  });
  const ended = followFeed({ baseUrl, signal, onEntry, onOpen }).catch((error: unknown) => {
    context.err(cleanLines(failureOf(error, baseUrl).message));
  });
  return { opened, ended };
}

async function run(context: Context, { url: urls = [], port, json: isJson = false }: Flags): Promise<void> {
  // Read before anything is started, since a misspelt address is the user's to mend.
  targetsOf(urls, 0);
  const { readConfig, startRotor } = await loadServer();
  // Lines of the feed are for people; what is logged beside them are warnings only.
  const config = readConfig({ ROTOR_LOG_LEVEL: "warn", ...context.env }, { mode: "dev", port });
  const stopping = untilAsked(() =>
    context.err("Stopping. Work in hand is finished first; a second Ctrl-C ends at once."),
  );
  const { signal } = stopping;
  const rotor = await startRotor(config);
  const baseUrl = localUrl(rotor.url);
  const print = printersOf(context, isJson, baseUrl);
  try {
    const { opened, ended } = openFeed(context, baseUrl, signal, print.feed);
    // Whoever reads that the server is there is told all that happens from then on.
    await Promise.race([opened, ended]);
    context.out(startedLines(rotor, { isJson, more: banner }));
    // On its own machine a development server asks for no key, and a key of another server is none of its business.
    const client = new Rotor({ baseUrl, apiKey: "" });
    const targets = targetsOf(urls, Number(new URL(rotor.url).port));
    await Promise.all([stopping.asked, ended, findApps({ rotor: client, targets, tell: print.news, signal })]);
  } finally {
    await rotor.stop();
  }
}

export function addDev(program: Command, context: Context): void {
  leaf(program, "dev", "run a server for development: Postgres, server, and your apps found by themselves")
    .option("-u, --url <url>", "address of an app; may be repeated", several)
    .option("--port <port>", "where to listen (default: ROTOR_PORT, else 7686)", portNumber)
    .action((flags: Flags) => run(context, flags));
}
