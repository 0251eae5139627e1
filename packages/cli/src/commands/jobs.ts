/** `rotor jobs …`: jobs of a callback queue. Failed ones are in `dlq.ts` too. */

import type { Delivery, Enqueued, Job, JobFilter } from "@rotorsh/sdk";
import { type Command, Option } from "commander";
import { readJson } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean, fields, table } from "../output.js";
import { stateOption } from "../states.js";
import { type JobFlags, jobOptionsOf, withJobFlags } from "./job-flags.js";

type EnqueueFlags = JsonOption &
  JobFlags & {
    readonly id?: string;
    readonly concurrencyKey?: string;
    readonly onDuplicate?: "ignore" | "replace" | "reject";
  };

/** `concurrencyKey: false`: none any more. */
type UpdateFlags = JsonOption & JobFlags & { readonly payload?: string; readonly concurrencyKey?: string | false };

type ListFlags = PageOptions & Pick<JobFilter, "state" | "tag">;

function enqueuedLine({ id, queue, state, duplicate, replaced }: Enqueued): string {
  const look = `Look at it: rotor jobs get ${clean(queue)} ${clean(id)}`;
  if (replaced) return `Replaced ${clean(id)} (${clean(state)}). ${look}`;
  return duplicate
    ? `${clean(id)} was there already (${clean(state)}); nothing was enqueued.`
    : `Enqueued ${clean(id)} (${clean(state)}). ${look}`;
}

function jobLines({ deliveries = [], ...job }: Job): string {
  const log = table(deliveries, [
    ["DELIVERY", (delivery) => delivery.delivery],
    ["OUTCOME", (delivery) => delivery.outcome],
    ["STATUS", (delivery) => delivery.status],
    ["ENDED", (delivery) => delivery.endedAt],
    ["MS", (delivery) => delivery.durationMs],
    ["ERROR", (delivery) => delivery.error?.message],
  ]);
  const last = deliveries.at(-1);
  if (last === undefined) return fields(job);
  return [fields(job), log, callLines(last)].filter((part) => part !== "").join("\n\n");
}

/** The call of one delivery, as HTTP writes it; nothing where none was made. */
export function callLines({ delivery, status, request, response, timing = {} }: Delivery): string {
  if (request === undefined) return "";
  const head = (headers: Readonly<Record<string, string>>): string[] =>
    Object.entries(headers).map(([name, value]) => `  ${clean(name)}: ${clean(value)}`);
  const parts = [
    ["queue", timing.queueMs],
    ["connect", timing.connectMs],
    ["wait", timing.waitMs],
    ["read", timing.readMs],
  ].filter(([, ms]) => ms !== undefined);
  const answer =
    response === undefined ? ["  no answer came"] : [`  ${status ?? "broken off"}`, ...head(response.headers)];
  return [
    `Delivery ${delivery}: POST ${clean(request.url)}`,
    ...head(request.headers),
    "Answer:",
    ...answer,
    `Time: ${parts.map(([name, ms]) => `${name} ${ms} ms`).join(", ")}`,
  ].join("\n");
}

function addEnqueue(jobs: Command, context: Context): void {
  withJobFlags(leaf(jobs, "enqueue <queue> [data]", "enqueue a job; DATA is its payload, as JSON"))
    .option("--id <id>", "of two jobs with one id in a queue, the second does nothing")
    .option("--concurrency-key <key>", "one active job a key at a time, over all queues; or what its limit says")
    .addOption(
      new Option(
        "--on-duplicate <what>",
        "when a job of this --id exists: leave it, take its place while it waits, or fail",
      ).choices(["ignore", "replace", "reject"]),
    )
    .action(async (queue: string, data: string | undefined, flags: EnqueueFlags) => {
      const job = {
        payload: await readJson(context, "DATA", data),
        ...jobOptionsOf(flags),
        ...(flags.id !== undefined && { jobId: flags.id }),
        ...(flags.concurrencyKey !== undefined && { concurrencyKey: flags.concurrencyKey }),
        ...(flags.onDuplicate !== undefined && { onDuplicate: flags.onDuplicate }),
      };
      show(context, flags, await clientOf(context).jobs.enqueue(queue, job), enqueuedLine);
    });
}

function addUpdate(jobs: Command, context: Context): void {
  withJobFlags(leaf(jobs, "update <queue> <id>", "change what is given of a job that waits"))
    .option("--payload <json>", "in place of what it has; - reads it from standard input")
    .option("--concurrency-key <key>", "the key whose jobs it takes turns with")
    .option("--no-concurrency-key", "no concurrency key any more")
    .action(async (queue: string, id: string, flags: UpdateFlags) => {
      const { payload, concurrencyKey } = flags;
      const changes = {
        ...(payload !== undefined && { payload: await readJson(context, "--payload", payload) }),
        ...jobOptionsOf(flags),
        ...(concurrencyKey !== undefined && { concurrencyKey: concurrencyKey === false ? null : concurrencyKey }),
      };
      if (Object.keys(changes).length === 0) throw new UsageError("Say what to change, such as --delay 0s.");
      show(context, flags, await clientOf(context).jobs.update(queue, id, changes), (job) => jobLines(job));
    });
}

export function addJobs(program: Command, context: Context): void {
  const jobs = group(program, "jobs", "jobs of a queue");
  addEnqueue(jobs, context);
  addUpdate(jobs, context);

  listLeaf(jobs, "list <queue>", "list the jobs of a queue, the newest first")
    .addOption(stateOption())
    .option("--tag <tag>", "only those with this tag")
    .action(async (queue: string, options: ListFlags) => {
      const { limit, state, tag } = options;
      await showPage<Job>(
        context,
        options,
        clientOf(context).jobs.list(queue, { limit, state, tag }),
        [
          ["ID", (job) => job.id],
          ["STATE", (job) => job.state],
          ["REASON", (job) => job.reason],
          ["UNTIL", (job) => job.until],
          ["ATTEMPT", (job) => `${job.attempt}/${job.maxAttempts}`],
          ["CREATED", (job) => job.createdAt],
          ["ERROR", (job) => job.error?.message],
        ],
        "No such jobs.",
      );
    });
  leaf(jobs, "get <queue> <id>", "show a job with every attempt").action(
    async (queue: string, id: string, options: JsonOption) => {
      show(context, options, await clientOf(context).jobs.get(queue, id), jobLines);
    },
  );
  leaf(jobs, "cancel <queue> <id>", "end an unfinished job").action(
    async (queue: string, id: string, options: JsonOption) => {
      await clientOf(context).jobs.cancel(queue, id);
      show(context, options, { id, queue, cancelled: true }, () => `Cancelled ${clean(id)}.`);
    },
  );
  leaf(jobs, "retry <queue> <id>", "make a failed job wait again, with all its attempts").action(
    async (queue: string, id: string, options: JsonOption) => {
      const job = await clientOf(context).jobs.retry(queue, id);
      show(context, options, job, ({ state }) => `${clean(id)} is ${clean(state)} again.`);
    },
  );
}
