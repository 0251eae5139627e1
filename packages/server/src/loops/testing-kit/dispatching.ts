/** A dispatcher on a real database, with the lease and the far end of a delivery in the test's hand. */
import { newId } from "../../core/ids.js";
import { batchWriter } from "../../store/batch.js";
import type { Db } from "../../store/db.js";
import type { LoadedJob } from "../../store/load.js";
import { registerNode } from "../../store/nodes.js";
import { type Settled, type Settlement, settle } from "../../store/settle.js";
import type { Carried } from "../courier.js";
import { createDispatcher, type Dispatcher } from "../dispatcher.js";
import type { Slow } from "../footing.js";
import type { Lease } from "../lease.js";

/** A delivery under way: the test says how it ends. */
export type UnderWay = {
  readonly job: LoadedJob;
  readonly end: (carried: Partial<Carried>) => void;
  readonly aborted: boolean;
};

export type Bench = {
  readonly dispatcher: Dispatcher;
  readonly posted: UnderWay[];
  readonly settled: Settled[];
  readonly errors: unknown[];
  readonly node: { id: string; fresh: boolean };
};

const COMPLETED: Carried = { end: { kind: "done", output: '"ok"' }, status: 200, durationMs: 1 };

/** `on`: the database as the dispatcher has it, `settleOn`: as ends of deliveries are written to it; `slow` as its option. */
export async function dispatching(db: Db, on: Db = db, settleOn: Db = on, slow?: Slow): Promise<Bench> {
  const node = { id: newId(), fresh: true };
  await registerNode(db, node.id, "test");
  const lease: Lease = {
    nodeId: () => node.id,
    fresh: () => node.fresh,
    steady: () => true,
    nodes: () => 1,
    now: Date.now,
    start: async () => undefined,
    stop: async () => undefined,
  };
  const posted: UnderWay[] = [];
  const settled: Settled[] = [];
  const errors: unknown[] = [];
  const dispatcher = createDispatcher({
    db: on,
    lease,
    settler: batchWriter<Settlement, Settled>((items) => settle(settleOn, items), { size: 100 }),
    held: () => false,
    random: () => 0,
    ...(slow !== undefined && { slow }),
    onBlocked: () => undefined,
    onSettled: (_, result) => settled.push(result),
    onError: (error) => errors.push(error),
    carry: (job, _, stop) =>
      new Promise((resolve) => {
        stop.hear(() => resolve({ end: { kind: "released" }, status: null, durationMs: 1 }));
        posted.push({
          job,
          end: (carried) => resolve({ ...COMPLETED, ...carried }),
          get aborted() {
            return stop.asked;
          },
        });
      }),
  });
  return { dispatcher, posted, settled, errors, node };
}
