// pg-boss: in process, on Postgres. Its queues notify only where it shortens the wait for a start, since that costs inserts.
import { PgBoss } from "pg-boss";
import { pause } from "../stage.mjs";
import { createLedger } from "./ledger.mjs";
import { createPost } from "./post.mjs";

export const kinds = ["jobs"];

/** Of each queue: its handler takes a batch, as its documentation recommends where there are many jobs. */
const batches = { batchSize: 500, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
const work = {
  drain: { ...batches, localConcurrency: 2 },
  idle: { ...batches, localConcurrency: 2 },
  // Each notification wakes every worker of its queue: one that takes batches starts jobs sooner than many do.
  timed: { ...batches, notifyPollingIntervalSeconds: 0.5 },
};

export async function open({ databaseUrl, ...place }) {
  const { post, close } = createPost(place);
  const ledger = createLedger();
  const boss = new PgBoss({ connectionString: databaseUrl, max: 20, useListenNotify: true });
  boss.on("error", (error) => console.error(`pg-boss: ${error.message}`));
  await boss.start();
  for (const queue of Object.keys(work)) await boss.createQueue(queue, { notify: queue === "timed" });
  let took = [];
  const handlers = {
    drain: (jobs) => Promise.all(jobs.map(({ data }) => post(data).then(() => ledger.do("drain", data.n)))),
    idle: async (jobs) => {
      for (const { data } of jobs) ledger.do("idle", data.n);
    },
    timed: async (jobs) => {
      for (const { data } of jobs) took.push(Date.now() - data.sentAt);
    },
  };
  const stage = {
    rotor: {
      jobs: {
        enqueue: (queue, { payload }) => {
          if (queue === "idle") ledger.give(queue, 1);
          return boss.send(queue, payload);
        },
        enqueueBatch(queue, jobs) {
          ledger.give(queue, jobs.length);
          return boss.insert(
            queue,
            jobs.map(({ payload }) => ({ data: payload })),
          );
        },
      },
      queues: {
        resume: (queue) => boss.work(queue, work[queue], handlers[queue]),
        pause: (queue) => boss.offWork(queue, { wait: true }),
      },
    },
    /** A job that is done stays, as completed. */
    async untilDone(queue) {
      for (;;) {
        const { rows } = await boss
          .getDb()
          .executeSql("select exists (select from pgboss.job where name = $1 and state <= 'active') as open", [queue]);
        if (!rows[0].open) return ledger.check("pg-boss");
        await pause(20);
      }
    },
    async empty(queue) {
      await stage.rotor.queues.resume(queue);
      await stage.untilDone(queue);
      await stage.rotor.queues.pause(queue);
    },
    async ask() {
      const taken = took;
      took = [];
      return { took: taken };
    },
    async close() {
      await boss.stop({ graceful: true, close: true, timeout: 5_000 });
      await close();
    },
  };
  return stage;
}
