/**
 * Whose turn it is: which of the due jobs may begin where keys limit them, and in which order queues are visited, so that
 * nobody's backlog starves another. Pure; the locks under which the figures are true are the store's.
 */
import { limits } from "./limits.js";

/** A due job as a claim meets it. */
export type Candidate = {
  readonly id: string;
  readonly queueId: number;
  readonly keyId: number | null;
  /** A run's other concurrency key: it needs a turn of both. Never strict. */
  readonly secondKeyId: number | null;
  readonly rateKeyId: number | null;
  /** It has its (first) key's turn already: of a strict key, between its attempts. */
  readonly holdsTurn: boolean;
};

/** What the candidates may use up, at most. Keys that are not in a map allow nothing: their rows were not locked. */
export type Rooms = {
  readonly queues: ReadonlyMap<number, number>;
  readonly keys: ReadonlyMap<number, number>;
  /** Of concurrency keys: how many more may be active, those that have their turn already among them. */
  readonly places: ReadonlyMap<number, number>;
  readonly all: number;
};

export type Shared = {
  readonly taken: readonly Candidate[];
  /** Jobs that wait for a key, for which, and which others they leave to those behind them meanwhile. */
  readonly blocked: readonly { readonly id: string; readonly on: number; readonly forgone: readonly number[] }[];
};

/**
 * Shares out what there is, in the order of the candidates. Who has its turn already keeps it, and waits where it is, while
 * the key's places are taken all the same: by a lower limit, or by deliveries that may still be at work although they were
 * given up.
 */
export function shareTurns(candidates: readonly Candidate[], rooms: Rooms): Shared {
  const queues = new Map(rooms.queues);
  const keys = new Map(rooms.keys);
  const places = new Map(rooms.places);
  const taken: Candidate[] = [];
  const blocked: { id: string; on: number; forgone: number[] }[] = [];
  for (const job of candidates) {
    if (job.keyId !== null && job.holdsTurn && (places.get(job.keyId) ?? 0) <= 0) continue;
    const asked = [job.holdsTurn ? null : job.keyId, job.secondKeyId, job.rateKeyId].filter((id) => id !== null);
    const on = asked.find((id) => (keys.get(id) ?? 0) <= 0);
    if (on !== undefined) {
      blocked.push({ id: job.id, on, forgone: asked.filter((id) => id !== on) });
      continue;
    }
    const room = queues.get(job.queueId) ?? 0;
    if (room <= 0 || taken.length >= rooms.all) continue;
    queues.set(job.queueId, room - 1);
    for (const id of asked) keys.set(id, keys.get(id)! - 1);
    for (const id of [job.keyId, job.secondKeyId]) if (id !== null) places.set(id, (places.get(id) ?? 0) - 1);
    taken.push(job);
  }
  return { taken, blocked };
}

/** A key by which jobs take turns: the workspace's (queue 0), or a function's. */
export type TurnKey = {
  readonly queueId: number;
  readonly key: string;
  /** Jobs that may be active at a time; without it the key keeps what it has. */
  readonly limit?: number;
};

/** What a job says of its keys when it is stored; see `NewJob`. */
type Keyed = {
  readonly queueId: number;
  readonly concurrencyKey?: string | null;
  readonly keyOrder?: "started" | "strict";
  readonly functionKeys?: readonly { readonly key: string; readonly limit: number; readonly strict?: boolean }[];
};

/**
 * The keys of a job, at most two, and whether the first is strict: only that can be. A function's keys bear their place
 * among those that are not strict, so that two with equal values are two, whether it has a strict one or not.
 */
export function turnKeys(job: Keyed): { readonly keys: readonly TurnKey[]; readonly strict: boolean } {
  const { queueId, functionKeys = [] } = job;
  const own = job.concurrencyKey ?? undefined;
  if (functionKeys.length > limits.functionKeys || (functionKeys.length > 0 && own !== undefined))
    throw new Error("A job has a concurrency key of its workspace, or at most two of its function.");
  if (own !== undefined) return { keys: [{ queueId: 0, key: own }], strict: job.keyOrder === "strict" };
  let place = 0;
  const keys = functionKeys.map(({ key, limit, strict = false }) => ({
    strict,
    key: { queueId, key: `${strict ? "strict" : place++}:${key}`, limit },
  }));
  if (keys.filter((each) => each.strict).length > 1) throw new Error("Of a job's keys one can be strict.");
  keys.sort((a, b) => Number(b.strict) - Number(a.strict));
  return { keys: keys.map((each) => each.key), strict: keys[0]?.strict ?? false };
}

/** The other way round: `NewJob.functionKeys` of a run by the names of its keys, as `turnKeys` made them. */
export const functionKeysOf = (
  keys: readonly { readonly name: string; readonly limit: number }[],
): { key: string; limit: number; strict: boolean }[] =>
  keys.map(({ name, limit }) => {
    const end = name.indexOf(":");
    return { key: name.slice(end + 1), limit, strict: name.slice(0, end) === "strict" };
  });

/** A queue that may be visited. */
export type Ready = { readonly queueId: number; readonly workspace: string };

/**
 * The queues to visit, at most `count`: workspaces in turn, and within each its queues in turn. `visits` says when each
 * was last visited, as a number that grows; who was never visited comes first.
 */
export function inTurn<Queue extends Ready>(
  ready: readonly Queue[],
  visits: { readonly workspaces: ReadonlyMap<string, number>; readonly queues: ReadonlyMap<number, number> },
  count: number,
): Queue[] {
  const byWorkspace = new Map<string, Queue[]>();
  for (const queue of ready) {
    const others = byWorkspace.get(queue.workspace);
    if (others === undefined) byWorkspace.set(queue.workspace, [queue]);
    else others.push(queue);
  }
  const last = (map: ReadonlyMap<string | number, number>, key: string | number): number => map.get(key) ?? -1;
  const lanes = [...byWorkspace]
    .sort(([a], [b]) => last(visits.workspaces, a) - last(visits.workspaces, b))
    .map(([, queues]) => queues.sort((a, b) => last(visits.queues, a.queueId) - last(visits.queues, b.queueId)));
  const chosen: Queue[] = [];
  for (let round = 0; chosen.length < Math.min(count, ready.length); round++) {
    for (const lane of lanes) {
      const queue = lane[round];
      if (queue !== undefined && chosen.length < count) chosen.push(queue);
    }
  }
  return chosen;
}
