/** What the rows of `why-rows.ts` work with, and what they say of themselves. No test of its own. */
import type { Rotor } from "@rotorsh/sdk";
import type { Db } from "../../store/db.js";
import { getQueue } from "../../store/queues.js";
import { claimOne, functionQueue, type Holder } from "../../testing-kit/fixtures.js";
import { CALLBACK, type ClientApi } from "./client.js";

export type Told = {
  /** The job or run that is asked about. */
  readonly id: string;
  readonly state?: string;
  readonly reason: string | null;
  /** From now, in milliseconds; null where no time ends it. */
  readonly untilMs: number | null;
  readonly sentence: RegExp;
  readonly unblock: readonly string[];
  readonly blockedBy?: readonly string[];
  /** Does what the first command does. Then the job can be claimed. */
  readonly help?: () => Promise<unknown>;
};

/** What a row works with. */
export type WhyKit = {
  readonly rotor: Rotor;
  readonly db: Db;
  readonly claimed: ClientApi["claimed"];
  readonly newName: () => string;
  /** A queue of its own with one job. */
  readonly jobOf: (queue?: object, job?: object) => Promise<{ readonly name: string; readonly id: string }>;
  /** A run of a function of its own, in a delivery's hands. */
  readonly runOf: () => Promise<{ readonly id: string; readonly holder: Holder }>;
  readonly queueIdOf: (name: string) => Promise<number>;
};

export function whyKit({ api, rotor, claimed }: ClientApi): WhyKit {
  const { db } = api.database;
  let names = 0;
  const newName = (): string => `why-${++names}`;
  return {
    rotor,
    db,
    claimed,
    newName,
    async jobOf(queue = {}, job = {}) {
      const name = newName();
      await rotor.queues.create(name, { callbackUrl: CALLBACK, ...queue });
      const { id } = await rotor.jobs.enqueue(name, { payload: { customer: "acme" }, ...job });
      return { name, id };
    },
    async runOf() {
      const name = newName();
      const queueId = await functionQueue(db, name);
      const { runId } = await rotor.runs.start(name, {});
      return { id: runId, holder: await claimOne(db, queueId, runId) };
    },
    queueIdOf: async (name) => (await getQueue(db, "default", "callback", name))!.id,
  };
}
