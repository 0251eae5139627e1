/** The call that enqueues such a job once more, to be pasted into a shell or a program. No key stands in it. Pure. */
import type { Job } from "@rotorsh/sdk";
import { shellWord } from "../../ui/shell-word.js";

type Shown = Pick<Job, "queue" | "payload" | "payloadEncoding" | "contentType" | "tags" | "concurrencyKey">;

const optionsOf = ({ tags, concurrencyKey }: Shown) => ({
  ...(tags.length > 0 && { tags }),
  ...(concurrencyKey !== null && { concurrency_key: concurrencyKey }),
});

export function asCurl(job: Shown, baseUrl: string): string {
  const url = shellWord(`${baseUrl}/v1/queues/${encodeURIComponent(job.queue)}/jobs`);
  const key = `-H "authorization: Bearer $ROTOR_API_KEY"`;
  // Bytes go as they are: decoded here, and sent with the content type that they came with.
  if (job.payloadEncoding === "base64")
    return [
      `echo ${shellWord(String(job.payload))} | base64 -d | curl -X POST ${url}`,
      key,
      `-H ${shellWord(`content-type: ${job.contentType}`)}`,
      "--data-binary @-",
    ].join(" \\\n  ");
  const body = JSON.stringify({ payload: job.payload, ...optionsOf(job) });
  return [`curl -X POST ${url}`, key, "-H 'content-type: application/json'", `-d ${shellWord(body)}`].join(" \\\n  ");
}

export function asSdkCall(job: Shown): string {
  const { concurrency_key: concurrencyKey, ...rest } = optionsOf(job) as { concurrency_key?: string };
  const options = { payload: job.payload, ...rest, ...(concurrencyKey !== undefined && { concurrencyKey }) };
  return `await rotor.jobs.enqueue(${JSON.stringify(job.queue)}, ${JSON.stringify(options, null, 2)});`;
}
