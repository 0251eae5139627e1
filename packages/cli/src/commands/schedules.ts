/** `rotor schedules …`: jobs enqueued, or functions started, by the clock. */

import type {
  Schedule,
  ScheduleCatchUp,
  ScheduleChanges,
  ScheduleOptions,
  ScheduleOverlap,
  ScheduleTarget,
  UnmadeTicks,
} from "@rotorsh/sdk";
import { type Command, Option } from "commander";
import { readJson } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { cell, clean, fields } from "../output.js";

type Flags = JsonOption & {
  readonly queue?: string;
  readonly function?: string;
  readonly cron?: string;
  readonly timezone?: string;
  readonly jobData?: string;
  readonly overlap?: ScheduleOverlap;
  readonly catchUp?: ScheduleCatchUp;
};
type CreateFlags = Flags & { readonly name: string; readonly cron: string; readonly timezone: string };

const withFlags = (command: Command): Command =>
  command
    .option("--queue <queue>", "the queue that gets a job at each fire")
    .option("--function <id>", "the function that is started at each fire")
    .option("--job-data <json>", "payload of each job, or data of each run")
    .addOption(
      new Option("--overlap <what>", "while the last job is not finished: enqueue all the same, or skip").choices([
        "allow",
        "skip",
      ]),
    )
    .addOption(
      new Option("--catch-up <which>", "of the fires that were missed: none, the last, or all").choices([
        "none",
        "last",
        "all",
      ]),
    );

const nextOf = (schedule: Schedule): string | undefined => (schedule.pausedAt ? "paused" : schedule.nextFires[0]);

function targetOf({ queue, function: id }: Flags): ScheduleTarget | undefined {
  if (queue !== undefined && id !== undefined) throw new UsageError("Write either --queue NAME or --function ID.");
  if (queue !== undefined) return { queue };
  return id === undefined ? undefined : { function: id };
}

async function changesOf(context: Context, flags: Flags): Promise<ScheduleChanges> {
  const payload = await readJson(context, "--job-data", flags.jobData);
  return {
    ...targetOf(flags),
    ...(flags.cron !== undefined && { cron: flags.cron }),
    ...(flags.timezone !== undefined && { timezone: flags.timezone }),
    ...(payload !== undefined && { payload }),
    ...(flags.overlap !== undefined && { overlap: flags.overlap }),
    ...(flags.catchUp !== undefined && { catchUp: flags.catchUp }),
  };
}

const unmade = ({ count, lastAt }: UnmadeTicks): string =>
  lastAt === null ? String(count) : `${count}, last ${cell(lastAt)}`;

/** A schedule with its next fires, a line each, as the clocks in its own zone show them. */
function showSchedule(context: Context, options: JsonOption, schedule: Schedule): void {
  show(context, options, schedule, ({ nextFires, skipped, missed, ...rest }) => {
    const fires = nextFires.map((fire) => {
      const there = new Date(fire).toLocaleString("sv-SE", { timeZone: rest.timezone });
      return `  ${there}  ${clean(rest.timezone)}`;
    });
    const next = rest.pausedAt === null ? "next fires" : "paused: it fires when it is resumed";
    return [fields({ ...rest, skipped: unmade(skipped), missed: unmade(missed) }), next, ...fires].join("\n");
  });
}

function addCreate(schedules: Command, context: Context): void {
  withFlags(
    leaf(schedules, "create", "make a schedule")
      .requiredOption("--name <name>", "the schedule's own name")
      .requiredOption("--cron <cron>", 'such as "0 9 * * 1-5" or @daily')
      .requiredOption("--timezone <name>", "IANA name, such as Europe/Stockholm"),
  ).action(async (flags: CreateFlags) => {
    const target = targetOf(flags);
    if (target === undefined)
      throw new UsageError("Say what it starts: --queue NAME for a job, or --function ID for a run.");
    const { cron, timezone } = flags;
    const schedule: ScheduleOptions = { ...(await changesOf(context, flags)), ...target, cron, timezone };
    showSchedule(context, flags, await clientOf(context).schedules.create(flags.name, schedule));
  });
}

function addUpdate(schedules: Command, context: Context): void {
  withFlags(
    leaf(schedules, "update <name>", "change what is given of a schedule")
      .option("--cron <cron>", 'such as "0 9 * * 1-5" or @daily')
      .option("--timezone <name>", "IANA name, such as Europe/Stockholm"),
  ).action(async (name: string, flags: Flags) => {
    const changes = await changesOf(context, flags);
    if (Object.keys(changes).length === 0) throw new UsageError('Say what to change, such as --cron "0 9 * * *".');
    showSchedule(context, flags, await clientOf(context).schedules.update(name, changes));
  });
}

export function addSchedules(program: Command, context: Context): void {
  const schedules = group(program, "schedules", "jobs and runs by the clock");
  addCreate(schedules, context);
  addUpdate(schedules, context);

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
      showSchedule(context, options, await clientOf(context).schedules.get(name));
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
