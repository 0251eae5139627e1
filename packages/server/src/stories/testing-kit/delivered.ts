/** A job that was given to an endpoint, as its story needs it: on a queue of its own, looked at after its first attempt. */
import type { Job, JobOptions, QueueOptions } from "@rotorsh/sdk";
import { eventually, type TestServer } from "../../testing-kit/server.js";

let queues = 0;

/** Failures come back in an hour: every attempt of a story is the only one that it sees. */
const ONE_ATTEMPT: QueueOptions = { retry: { maxAttempts: 3, backoff: ["1h"], jitter: "none" } };

/** Enqueues one job on a new queue with this URL. */
export async function enqueueTo(
  server: TestServer,
  callbackUrl: string,
  queue: QueueOptions = {},
  job: JobOptions = {},
): Promise<{ queue: string; id: string }> {
  const name = `story-${++queues}`;
  await server.rotor.queues.create(name, { callbackUrl, ...ONE_ATTEMPT, ...queue });
  const { id } = await server.rotor.jobs.enqueue(name, job);
  return { queue: name, id };
}

/** The job, once `count` of its deliveries are in its log. */
export async function afterDeliveries(
  server: TestServer,
  { queue, id }: { queue: string; id: string },
  count = 1,
): Promise<Job> {
  const read = (): Promise<Job> => server.rotor.jobs.get(queue, id);
  await eventually(`${count} deliveries of ${id} in ${queue}`, async () => {
    const { deliveries = [] } = await read();
    return deliveries.length >= count;
  });
  // A job is read before its log: the one that came with this log may be from before.
  return read();
}

/** Both at once: what became of the first attempt. */
export const delivered = async (
  server: TestServer,
  callbackUrl: string,
  queue: QueueOptions = {},
  job: JobOptions = {},
): Promise<Job> => afterDeliveries(server, await enqueueTo(server, callbackUrl, queue, job));
