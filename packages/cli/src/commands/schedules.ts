/** `rotor schedules …`: jobs enqueued, or functions started, by the clock. */

import type { Schedule, ScheduleOptions } from "@rotorsh/sdk";
import type { Command } from "commander";
import { readJson } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";

type CreateFlags = JsonOption & {
  readonly name: string;
  readonly queue?: string;
  readonly function?: string;
  readonly cron: string;
  readonly timezone: string;
  readonly jobData?: string;
};

const nextOf = (schedule: Schedule): string | undefined => (schedule.pausedAt ? "paused" : schedule.nextFires[0]);

function targetOf({ queue, function: id }: CreateFlags): { queue: string } | { function: string } {
  if (queue !== undefined && id === undefined) return { queue };
  if (id !== undefined && queue === undefined) return { function: id };
  throw new UsageError("Say what it starts: --queue NAME for a job, or --function ID for a run.");
}

function addCreate(schedules: Command, context: Context): void {
  leaf(schedules, "create", "make a schedule")
    .requiredOption("--name <name>", "the schedule's own name")
    .option("--queue <queue>", "the queue that gets a job at each fire")
    .option("--function <id>", "the function that is started at each fire")
    .requiredOption("--cron <cron>", 'such as "0 9 * * 1-5" or @daily')
    .requiredOption("--timezone <name>", "IANA name, such as Europe/Stockholm")
    .option("--job-data <json>", "payload of each job, or data of each run")
    .action(async (flags: CreateFlags) => {
      const payload = await readJson(context, "--job-data", flags.jobData);
      const schedule: ScheduleOptions = {
        ...targetOf(flags),
        cron: flags.cron,
        timezone: flags.timezone,
        ...(payload !== undefined && { payload }),
      };
      showFields(context, flags, await clientOf(context).schedules.create(flags.name, schedule));
    });
}

export function addSchedules(program: Command, context: Context): void {
  const schedules = group(program, "schedules", "jobs and runs by the clock");
  addCreate(schedules, context);

  listLeaf(schedules, "list", "list the schedules").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<Schedule>(
      context,
      options,
      clientOf(context).schedules.list({ limit }),
      [
        ["NAME", (schedule) => schedule.name],
        ["STARTS", (schedule) => schedule.queue ?? schedule.function],
        ["CRON", (schedule) => schedule.cron],
        ["TIMEZONE", (schedule) => schedule.timezone],
        ["NEXT", nextOf],
      ],
      'No schedules yet. Make one: rotor schedules create --name NAME --queue QUEUE --cron "0 9 * * *" --timezone UTC',
    );
  });
  leaf(schedules, "get <name>", "show a schedule with its next fires").action(
    async (name: string, options: JsonOption) => {
      showFields(context, options, await clientOf(context).schedules.get(name));
    },
  );
  leaf(schedules, "run <name>", "fire it now, beside its times").action(async (name: string, options: JsonOption) => {
    show(context, options, await clientOf(context).schedules.run(name), ({ id }) => `Started ${clean(id)}.`);
  });
  leaf(schedules, "pause <name>", "fire no more until resumed").action(async (name: string, options: JsonOption) => {
    show(context, options, await clientOf(context).schedules.pause(name), () => `Paused ${clean(name)}.`);
  });
  leaf(schedules, "resume <name>", "fire again").action(async (name: string, options: JsonOption) => {
    show(context, options, await clientOf(context).schedules.resume(name), () => `Resumed ${clean(name)}.`);
  });
  leaf(schedules, "delete <name>", "delete a schedule").action(async (name: string, options: JsonOption) => {
    await clientOf(context).schedules.delete(name);
    show(context, options, { name, deleted: true }, () => `Deleted ${clean(name)}.`);
  });
}
