// Graphile Worker: in process, on Postgres. Batched as its performance page is: a local queue, completions batched.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { pause } from "../stage.mjs";
import { createLedger } from "./ledger.mjs";
import { createPost } from "./post.mjs";

export const kinds = ["jobs"];

export async function open({ databaseUrl, ...place }) {
  const { post, close } = createPost(place);
  const ledger = createLedger();
  const logger = new Logger(() => () => {});
  const worker = {
    connectionString: databaseUrl,
    logger,
    concurrentJobs: 50,
    maxPoolSize: 20,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  };
  const utils = await makeWorkerUtils({ preset: { worker } });
  await utils.migrate();
  let took = [];
  const tasks = {
    async drain(payload) {
      await post(payload);
      ledger.do("drain", payload.n);
    },
    idle: async ({ n }) => ledger.do("idle", n),
    timed: async ({ sentAt }) => took.push(Date.now() - sentAt),
  };
  let runner;
  const stage = {
    rotor: {
      jobs: {
        enqueue: (queue, { payload }) => {
          if (queue === "idle") ledger.give(queue, 1);
          return utils.addJob(queue, payload);
        },
        enqueueBatch(queue, jobs) {
          ledger.give(queue, jobs.length);
          return utils.addJobs(jobs.map(({ payload }) => ({ identifier: queue, payload })));
        },
      },
      queues: {
        async resume(queue) {
          runner = await run({ preset: { worker }, taskList: { [queue]: tasks[queue] }, noHandleSignals: true });
        },
        pause: () => runner.stop(),
      },
    },
    /** A job that is done is deleted. */
    async untilDone() {
      for (;;) {
        const { rows } = await utils.withPgClient((client) =>
          client.query("select exists (select from graphile_worker._private_jobs) as open"),
        );
        if (!rows[0].open) return ledger.check("Graphile Worker");
        await pause(20);
      }
    },
    async empty(queue) {
      await stage.rotor.queues.resume(queue);
      await stage.untilDone();
      await stage.rotor.queues.pause();
    },
    async ask() {
      const taken = took;
      took = [];
      return { took: taken };
    },
    async close() {
      await utils.release();
      await close();
    },
  };
  return stage;
}
