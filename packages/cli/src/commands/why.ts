/** `rotor why`: what a job or run waits for, who blocks it, and the commands that unblock it. The words are the server's. */

import type { NearMiss, Why } from "@rotorsh/sdk";
import type { Command } from "commander";
import { type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { type Column, cell, clean, cleanLines, table } from "../output.js";

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
] as const;

/** `2026-11-23 21:20:12, 3 minutes ago`: where the reader is. */
function when(instant: string, nowMs: number): string {
  const seconds = Math.round((Date.parse(instant) - nowMs) / 1_000);
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? UNITS[3];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
  return `${cell(instant)}, ${relative}`;
}

type Missed = { readonly event: NearMiss; readonly difference: NearMiss["differences"][number] };

const missedTable = (events: readonly NearMiss[]): string => {
  // Of a wait for several things.
  const parts: Column<Missed>[] = events.some(({ part }) => part !== null) ? [["PART", ({ event }) => event.part]] : [];
  return table<Missed>(
    events.flatMap((event) => event.differences.map((difference) => ({ event, difference }))),
    [
      ["EVENT", ({ event }) => event.eventId],
      ["RECEIVED", ({ event }) => event.receivedAt],
      ...parts,
      ["PATH", ({ difference }) => difference.path],
      ["WANTED", ({ difference }) => JSON.stringify(difference.wanted)],
      ["FOUND", ({ difference }) => JSON.stringify(difference.found)],
    ],
  );
};

/** The explanation for a person; a part that there is nothing to say of is left out. */
export function whyLines({ sentence, since, until, blockedBy, unblock, nearMisses }: Why, nowMs = Date.now()): string {
  const times = [
    ...(since === null ? [] : [`since  ${when(since, nowMs)}`]),
    ...(until === null ? [] : [`until  ${when(until, nowMs)}`]),
  ];
  const blockers = table(blockedBy, [
    ["BLOCKED BY", (holder) => holder.id],
    ["QUEUE", (holder) => holder.queue],
    ["UNTIL", (holder) => holder.until],
  ]);
  return [
    [clean(sentence), ...times].join("\n"),
    ...(blockedBy.length === 0 ? [] : [blockers]),
    ...(nearMisses.length === 0 ? [] : [`Events that did not match:\n${missedTable(nearMisses)}`]),
    ...(unblock.length === 0 ? [] : [cleanLines(["To unblock it:", ...unblock.map((each) => `  ${each}`)].join("\n"))]),
  ].join("\n\n");
}

export function addWhy(program: Command, context: Context): void {
  leaf(program, "why <id>", "why a job or run does not move, and what unblocks it").action(
    async (id: string, options: JsonOption) => {
      show(context, options, await clientOf(context).jobs.why(id), (why) => whyLines(why));
    },
  );
}
