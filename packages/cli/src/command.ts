/** What all commands share: `--json`, one thing or a page of a list printed. What they do is in `commands/`. */

import type { BulkOptions, Listing } from "@rotorsh/sdk";
import { type Command, Option } from "commander";
import { wholeNumber } from "./arguments.js";
import type { Context } from "./context.js";
import { type Column, clean, fields, json, table } from "./output.js";

export type JsonOption = { readonly json?: boolean };
export type PageOptions = JsonOption & { readonly limit: number; readonly cursor?: string };

/** A command that can be called, as opposed to a group of them. */
export const leaf = (parent: Command, usage: string, description: string): Command =>
  parent.command(usage).description(description).option("--json", "print JSON, for programs");

/** A command that prints a page of a list. */
export const listLeaf = (parent: Command, usage: string, description: string): Command =>
  leaf(parent, usage, description)
    .addOption(new Option("--limit <n>", "how many at most").argParser(wholeNumber(1, 1_000)).default(50))
    .option("--cursor <cursor>", "where to go on, as the list before told");

/** A group of commands, such as `queues`. */
export const group = (parent: Command, name: string, description: string): Command =>
  parent.command(name).description(description);

/** Prints a result: JSON for programs, else what `lines` makes of it. */
export function show<T>(context: Context, options: JsonOption, value: T, lines: (value: T) => string): void {
  context.out(options.json ? json(value) : lines(value));
}

/** Prints one thing, a line a field. */
export function showFields(context: Context, options: JsonOption, thing: object): void {
  show(context, options, thing, fields);
}

/** Says beside the result how far an ask about many has come, where it takes longer than some seconds. */
export const progressOf = (context: Context): BulkOptions => ({
  onProgress: (soFar) => context.err(`${soFar.toLocaleString("en")} so far …`),
});

/** Prints one page of a list, and how to get the next. `none` is said where it is empty, with what to do next. */
export async function showPage<T>(
  context: Context,
  options: PageOptions,
  listing: Listing<T>,
  columns: readonly Column<T>[],
  none: string,
): Promise<void> {
  const page = await listing.page(options.cursor);
  if (options.json) return context.out(json(page));
  if (page.data.length === 0) return context.err(none);
  context.out(table(page.data, columns));
  if (page.nextCursor !== null) context.err(`There are more: --cursor ${clean(page.nextCursor)}`);
}
