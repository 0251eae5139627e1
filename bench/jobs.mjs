// S6 to S9 and S14: what a job costs, on its way in and on its way out.
import { randomUUID } from "node:crypto";
import { Agent, request } from "undici";
import { crowd, pause, quantile, timed } from "./stage.mjs";

const text = "x".repeat(200);

/** S8: enqueues `jobs` in batches of a thousand, into a paused queue; jobs a second. */
export async function bulk(stage, queue, jobs) {
  const seconds = await timed(async () => {
    for (let n = 0; n < jobs; n += 1_000)
      await stage.rotor.jobs.enqueueBatch(
        queue,
        Array.from({ length: Math.min(1_000, jobs - n) }, (_, i) => ({ payload: { n: n + i, text } })),
      );
  });
  return jobs / seconds;
}

/** S6: lets a paused queue go, to its end; jobs a second. */
export async function drain(stage, queue, jobs) {
  const seconds = await timed(async () => {
    await stage.rotor.queues.resume(queue);
    await stage.untilDone(queue);
  });
  await stage.rotor.queues.pause(queue);
  return jobs / seconds;
}

/** S7: enqueues one by one, 50 in flight, into a queue that delivers nothing; jobs a second. The client is that of the limits. */
export async function single(stage, queue, jobs) {
  const dispatcher = new Agent({ connections: 50 });
  const headers = { authorization: `Bearer ${stage.apiKey}`, "content-type": "application/json" };
  const seconds = await timed(() =>
    crowd(jobs, 50, async (n) => {
      const body = JSON.stringify({ job_id: randomUUID(), payload: { n } });
      const answer = await request(`${stage.baseUrl}/v1/queues/${queue}/jobs`, {
        method: "POST",
        headers,
        body,
        dispatcher,
      });
      await answer.body.dump();
      if (answer.statusCode !== 201) throw new Error(`an enqueue answered ${answer.statusCode}`);
    }),
  );
  await dispatcher.close();
  return jobs / seconds;
}

/** The same by the SDK's client, which costs more than a bare one. */
export const singleBySdk = async (stage, queue, jobs) =>
  jobs / (await timed(() => crowd(jobs, 50, (n) => stage.rotor.jobs.enqueue(queue, { payload: { n } }))));

/** S9: from the call that enqueues to the endpoint, at 200 a second; milliseconds. */
export async function latency(stage, queue, jobs) {
  await stage.ask("took");
  const begun = performance.now();
  const sent = [];
  for (let n = 0; n < jobs; n++) {
    const waitMs = n * 5 - (performance.now() - begun);
    if (waitMs > 0) await pause(waitMs);
    sent.push(stage.rotor.jobs.enqueue(queue, { payload: { sentAt: Date.now() } }));
  }
  await Promise.all(sent);
  const took = [];
  for (const limit = Date.now() + 30_000; took.length < jobs && Date.now() < limit; await pause(20))
    took.push(...(await stage.ask("took")).took);
  if (took.length !== jobs) throw new Error(`${took.length} of ${jobs} jobs came`);
  return { median: quantile(took, 0.5), p99: quantile(took, 0.99) };
}
