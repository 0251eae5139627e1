/**
 * The claim of queues whose jobs have keys: what is due is read, then the keys are locked, then their rooms are read, then
 * it is decided who begins and who waits for which key. Runs in the claim's transaction, with the queues locked.
 */
import { limits } from "../core/limits.js";
import { type Candidate, shareTurns, type TurnKey } from "../core/turns.js";
import { bindKeys, TURNS_OF_JOB } from "./bind-keys.js";
import { type Queryable, sql } from "./db.js";
import { grantTurns, lockKeys, roomsOf } from "./keys.js";
import { countRates } from "./rate-keys.js";
import { type Claim, ROOM, TAKE, TAKEN, type Taken } from "./take.js";

/** Due jobs of each queue, some more than it has room for: those in front may have to wait for their keys. */
const candidates = sql(
  "claim.candidates",
  `with clock as materialized (select rotor.clock() as now),
   room as (${ROOM})
   select job.id, job.queue_id as "queueId", job.key_id as "keyId", job.second_key_id as "secondKeyId", job.rate_key_id as "rateKeyId",
          job.keeps_turn and job.delivery > 0 as "holdsTurn", room.room,
          job.rate_key_id is null and (room.kind = 'callback' or job.delivery = 0)
            and exists (select 1 from rotor.queues where id = job.queue_id and rate_key is not null) as unbound
     from room
    cross join lateral (
      select id, queue_id, key_id, second_key_id, rate_key_id, keeps_turn, delivery, due_at from rotor.jobs
       where queue_id = room.id and state = 'waiting' and blocked_on is null and held_at is null and due_at <= (select now from clock)
       order by due_at
       limit room.room + $3
         for no key update skip locked) job
    where room.room > 0
    order by job.due_at`,
);

/** A run is counted when it begins, and not with each of its deliveries: from then on it has no key of a rate. */
const takeThese = sql(
  "claim.take-these",
  `with clock as materialized (select rotor.clock() as now)
   update rotor.jobs job
      ${TAKE},
          rate_key_id = case when queue.kind = 'callback' then job.rate_key_id end
     from rotor.queues queue, clock
    where job.id = any($1::uuid[]) and job.state = 'waiting' and queue.id = job.queue_id and queue.id = any($2::int[])
   ${TAKEN}`,
);

const block = sql(
  "claim.block",
  `update rotor.jobs job set blocked_on = item.key_id
     from unnest($1::uuid[], $2::int[]) as item (id, key_id)
    where job.id = item.id and job.state = 'waiting'`,
);

/** What is to be known of jobs that came before their queue's rate had a key. */
const bodies = sql(
  "claim.bodies",
  `select job.id, job.queue_id as "queueId", payload.body, payload.content_type as "contentType", ${TURNS_OF_JOB} as turns, queue.rate_key as "rateKey"
     from rotor.jobs job join rotor.payloads payload on payload.job_id = job.id join rotor.queues queue on queue.id = job.queue_id
    where job.id = any($1::uuid[]) order by job.due_at`,
);

type Body = {
  readonly id: string;
  readonly queueId: number;
  readonly body: Buffer;
  readonly contentType: string;
  readonly turns: readonly TurnKey[];
  readonly rateKey: string | null;
};

/** Bodies that one claim reads for that: each may have a megabyte. */
const BOUND = 100;

/** The keys that a candidate needs. */
const keysOf = (job: Candidate): number[] => [job.keyId, job.secondKeyId, job.rateKeyId].filter((id) => id !== null);

/** Binds jobs that were there before the key, and locks these keys with theirs. Answers how many, and what is locked. */
async function bindLate(t: Queryable, ids: readonly string[], others: readonly number[]) {
  const rows = await t.query<Body>(bodies, [ids]);
  const { locked } = await bindKeys(
    t,
    rows.map(({ id, rateKey, turns, ...job }) => ({ id, rateKey, turns, onlyRate: true, job })),
    others,
  );
  return { count: rows.length, locked };
}

/**
 * `bound`: the keys that this transaction has locked, once it has bound jobs that came before the key. Then it claims of
 * those that need no others: keys are locked all at once, in one order. The rest is left for the next claim.
 */
export async function claimKeyed(
  t: Queryable,
  nodeId: string,
  queueIds: readonly number[],
  queueRooms: readonly number[],
  room: number,
  bound?: ReadonlySet<number>,
): Promise<Claim> {
  const found = await t.query<Candidate & { room: number; unbound: boolean }>(candidates, [
    queueIds,
    queueRooms,
    limits.claim,
  ]);
  const ready = found.filter((job) => !job.unbound);
  const unbound = found.filter((job) => job.unbound).slice(0, BOUND);
  if (unbound.length > 0 && bound === undefined) {
    const ids = unbound.map((job) => job.id);
    const { count, locked } = await bindLate(t, ids, ready.flatMap(keysOf));
    // Once a claim: as those that are blocked leave, others come into sight, and all of a backlog would be one transaction.
    const { taken, blocked } = await claimKeyed(t, nodeId, queueIds, queueRooms, room, locked);
    // Who waits for the rate now was let go on by another key, perhaps.
    await grantTurns(t, unbound);
    return { taken, blocked: blocked + count };
  }
  const due = bound === undefined ? ready : ready.filter((job) => keysOf(job).every((id) => bound.has(id)));
  if (due.length === 0) return { taken: [], blocked: 0 };
  const locked = await lockKeys(t, due.flatMap(keysOf));
  const rooms = await roomsOf(t, locked);
  const { taken, blocked } = shareTurns(due, {
    queues: new Map(due.map((job) => [job.queueId, job.room])),
    keys: new Map([...rooms].map(([id, key]) => [id, key.room])),
    places: new Map([...rooms].map(([id, key]) => [id, key.places])),
    all: room,
  });
  if (blocked.length > 0) void t.query(block, [blocked.map((job) => job.id), blocked.map((job) => job.on)]);
  countRates(t, locked, rooms, taken, blocked);
  const rows =
    taken.length === 0
      ? []
      : await t.query<Taken>(takeThese, [taken.map((job) => job.id), queueIds, nodeId, limits.runTimeoutMs]);
  // Who waits for one of its keys was let go on by another, perhaps, and passes that turn on.
  const inLine = new Set(locked.filter((key) => key.kind === "turn" && rooms.get(key.id)!.blocks).map((key) => key.id));
  const forgone = blocked.flatMap((job) => job.forgone).filter((id) => inLine.has(id));
  await grantTurns(
    t,
    forgone.map((id) => ({ keyId: id, secondKeyId: null })),
  );
  return { taken: rows, blocked: blocked.length };
}
