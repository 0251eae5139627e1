/** What stories of jobs share: queues with an endpoint, jobs that are in hand until a story lets them go. */
import type { Job, QueueOptions } from "@rotorsh/sdk";
import { eventually, type TestServer } from "../../testing-kit/server.js";
import { gate, type Recorder, recorder } from "./recorder.js";

/** A job that is in hand, and how its endpoint is let answer. */
export type Holder = { readonly queue: string; readonly id: string; readonly open: () => void };

/** @param serverOf answers the story's server, once it runs. */
export function jobStage(serverOf: () => TestServer) {
  let named = 0;
  async function newQueue(options: QueueOptions = {}): Promise<string> {
    const name = `enqueue-${++named}`;
    await serverOf().rotor.queues.create(name, { retry: { maxAttempts: 5, backoff: ["1h"] }, ...options });
    return name;
  }

  /** A queue whose endpoint answers 200 at once, and what that saw. */
  async function delivering(options: QueueOptions = {}): Promise<{ queue: string; endpoint: Recorder }> {
    const endpoint = await recorder(serverOf());
    return { queue: await newQueue({ callbackUrl: endpoint.url, ...options }), endpoint };
  }

  const get = (queue: string, id: string): Promise<Job> => serverOf().rotor.jobs.get(queue, id);
  const completed = (queue: string, id: string): Promise<Job> =>
    eventually(`${id} of ${queue} completed`, async () => {
      const job = await get(queue, id);
      return job.state === "completed" && job;
    });

  /** A job that has its key's turn until `open` is called. */
  async function holderOf(concurrencyKey: string): Promise<Holder> {
    const { opened, open } = gate();
    const endpoint = await recorder(serverOf(), async (_call, response) => {
      await opened;
      response.end();
    });
    const queue = await newQueue({ callbackUrl: endpoint.url });
    const { id } = await serverOf().rotor.jobs.enqueue(queue, { concurrencyKey });
    await eventually("it is in hand", () => endpoint.calls.length === 1);
    return { queue, id, open };
  }

  /** A queue of one slot, which a first job has in hand until `open` is called; the payloads in the order of their calls. */
  async function busyQueue() {
    const { opened, open } = gate();
    const endpoint = await recorder(serverOf(), async ({ payload }, response) => {
      if (payload === "first") await opened;
      response.end();
    });
    const queue = await newQueue({ callbackUrl: endpoint.url, concurrency: 1 });
    await serverOf().rotor.jobs.enqueue(queue, { payload: "first" });
    await eventually("the first is in hand", () => endpoint.calls.length === 1);
    const order = async (count: number): Promise<unknown[]> => {
      open();
      await eventually(`${count} calls`, () => endpoint.calls.length === count);
      return endpoint.calls.map(({ payload }) => payload);
    };
    return { queue, order };
  }

  return { newQueue, delivering, get, completed, holderOf, busyQueue };
}
