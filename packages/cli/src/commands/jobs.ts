/** `rotor jobs …`: jobs of a callback queue. Failed ones are in `dlq.ts` too. */

import type { Delivery, Duration, Enqueued, Job, JobFilter } from "@rotorsh/sdk";
import type { Command } from "commander";
import { delay, duration, readJson, several, wholeNumber } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean, fields, table } from "../output.js";
import { stateOption } from "../states.js";

type EnqueueFlags = JsonOption & {
  readonly id?: string;
  readonly delay?: Duration | number;
  readonly priority?: number;
  readonly tag?: readonly string[];
  readonly retryAttempts?: number;
  readonly timeout?: Duration;
};

type ListFlags = PageOptions & Pick<JobFilter, "state" | "tag">;

const enqueuedLine = ({ id, queue, state, duplicate }: Enqueued): string =>
  duplicate
    ? `${clean(id)} was there already (${clean(state)}); nothing was enqueued.`
    : `Enqueued ${clean(id)} (${clean(state)}). Look at it: rotor jobs get ${clean(queue)} ${clean(id)}`;

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
  leaf(jobs, "enqueue <queue> [data]", "enqueue a job; DATA is its payload, as JSON")
    .option("--id <id>", "of two jobs with one id in a queue, the second does nothing")
    .option("--delay <duration>", 'before the first delivery, such as "30s"', delay)
    .option("--priority <n>", "seconds of head start before other due jobs", wholeNumber(-100, 100))
    .option("--tag <tag>", "may be repeated", several)
    .option("--retry-attempts <n>", "attempts in all, in place of the queue's", wholeNumber(1, 1_000))
    .option("--timeout <duration>", "of one delivery, in place of the queue's", duration)
    .action(async (queue: string, data: string | undefined, flags: EnqueueFlags) => {
      const job = {
        payload: await readJson(context, "DATA", data),
        ...(flags.id !== undefined && { jobId: flags.id }),
        ...(flags.delay !== undefined && { delay: flags.delay }),
        ...(flags.priority !== undefined && { priority: flags.priority }),
        ...(flags.tag !== undefined && { tags: flags.tag }),
        ...(flags.retryAttempts !== undefined && { maxAttempts: flags.retryAttempts }),
        ...(flags.timeout !== undefined && { timeout: flags.timeout }),
      };
      show(context, flags, await clientOf(context).jobs.enqueue(queue, job), enqueuedLine);
    });
}

export function addJobs(program: Command, context: Context): void {
  const jobs = group(program, "jobs", "jobs of a queue");
  addEnqueue(jobs, context);

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
