/**
 * Whose turn it is: which of the due jobs may begin where keys limit them, and in which order queues are visited, so that
 * nobody's backlog starves another. Pure; the locks under which the figures are true are the store's.
 */

/** A due job as a claim meets it. */
export type Candidate = {
  readonly id: string;
  readonly queueId: number;
  readonly keyId: number | null;
  readonly rateKeyId: number | null;
  /** It has its key's turn already: of a strict key, between its attempts. */
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
  /** Jobs that wait for a key, and for which. */
  readonly blocked: readonly { readonly id: string; readonly on: number }[];
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
  const blocked: { id: string; on: number }[] = [];
  for (const job of candidates) {
    if (job.keyId !== null && !job.holdsTurn && (keys.get(job.keyId) ?? 0) <= 0) {
      blocked.push({ id: job.id, on: job.keyId });
      continue;
    }
    if (job.keyId !== null && job.holdsTurn && (places.get(job.keyId) ?? 0) <= 0) continue;
    if (job.rateKeyId !== null && (keys.get(job.rateKeyId) ?? 0) <= 0) {
      blocked.push({ id: job.id, on: job.rateKeyId });
      continue;
    }
    const room = queues.get(job.queueId) ?? 0;
    if (room <= 0 || taken.length >= rooms.all) continue;
    queues.set(job.queueId, room - 1);
    if (job.keyId !== null && !job.holdsTurn) keys.set(job.keyId, keys.get(job.keyId)! - 1);
    if (job.keyId !== null) places.set(job.keyId, (places.get(job.keyId) ?? 0) - 1);
    if (job.rateKeyId !== null) keys.set(job.rateKeyId, keys.get(job.rateKeyId)! - 1);
    taken.push(job);
  }
  return { taken, blocked };
}

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
