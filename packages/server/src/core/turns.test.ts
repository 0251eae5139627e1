import { expect, test } from "vitest";
import { type Candidate, inTurn, shareTurns, turnKeys } from "./turns.js";

const job = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  id,
  queueId: 1,
  keyId: null,
  secondKeyId: null,
  rateKeyId: null,
  holdsTurn: false,
  ...more,
});
const rooms = (
  more: { queue?: number; keys?: [number, number][]; places?: [number, number][]; all?: number } = {},
) => ({
  queues: new Map([[1, more.queue ?? 10]]),
  keys: new Map(more.keys ?? []),
  places: new Map(more.places ?? more.keys ?? []),
  all: more.all ?? 10,
});
const ids = (shared: ReturnType<typeof shareTurns>) => [shared.taken.map(({ id }) => id), shared.blocked];

test("each key gives its turns to the first in line, and the others are blocked on it", () => {
  const jobs = [job("a", { keyId: 7 }), job("b", { keyId: 7 }), job("c"), job("d", { keyId: 8 })];
  expect(
    ids(
      shareTurns(
        jobs,
        rooms({
          keys: [
            [7, 1],
            [8, 1],
          ],
        }),
      ),
    ),
  ).toEqual([["a", "c", "d"], [{ id: "b", on: 7, forgone: [] }]]);
});

test("who has its turn already needs no other", () => {
  const holder = job("a", { keyId: 7, holdsTurn: true });
  expect(ids(shareTurns([holder], rooms({ keys: [[7, 0]], places: [[7, 1]] })))).toEqual([["a"], []]);
});

test("who has its turn already keeps it, but waits while all places of its key are taken", () => {
  const [one, other] = ["a", "b"].map((id) => job(id, { keyId: 7, holdsTurn: true }));
  expect(ids(shareTurns([one!, other!], rooms({ keys: [[7, 0]], places: [[7, 0]] })))).toEqual([[], []]);
  expect(ids(shareTurns([one!, other!], rooms({ keys: [[7, 0]], places: [[7, 1]] })))).toEqual([["a"], []]);
});

test("without room in its queue a job stays where it is, and uses up no turn", () => {
  const jobs = [job("a"), job("b", { keyId: 7 })];
  expect(ids(shareTurns(jobs, rooms({ queue: 1, keys: [[7, 1]] })))).toEqual([["a"], []]);
});

test("a rate without room blocks, and a turn is not used up by it", () => {
  const jobs = [job("a", { keyId: 7, rateKeyId: 9 }), job("b", { keyId: 7 })];
  expect(
    ids(
      shareTurns(
        jobs,
        rooms({
          keys: [
            [7, 1],
            [9, 0],
          ],
        }),
      ),
    ),
  ).toEqual([["b"], [{ id: "a", on: 9, forgone: [7] }]]);
});

test("who has two keys needs a turn of both, and leaves the one to others while it waits for the other", () => {
  const jobs = [
    job("a", { keyId: 7, secondKeyId: 8 }),
    job("b", { keyId: 7, secondKeyId: 8 }),
    job("c", { keyId: 9, secondKeyId: 8 }),
    job("d", { keyId: 7 }),
  ];
  const room: [number, number][] = [
    [7, 2],
    [8, 1],
    [9, 1],
  ];
  expect(ids(shareTurns(jobs, rooms({ keys: room })))).toEqual([
    ["a", "d"],
    [
      { id: "b", on: 8, forgone: [7] },
      { id: "c", on: 8, forgone: [9] },
    ],
  ]);
});

test("who keeps a turn of its first key needs one of its second each time, and keeps the first while it waits", () => {
  const jobs = [job("a", { keyId: 7, secondKeyId: 8, holdsTurn: true })];
  const keys = (second: number): [number, number][] => [
    [7, 0],
    [8, second],
  ];
  const places: [number, number][] = [[7, 1]];
  expect(ids(shareTurns(jobs, rooms({ keys: keys(0), places })))).toEqual([[], [{ id: "a", on: 8, forgone: [] }]]);
  expect(ids(shareTurns(jobs, rooms({ keys: keys(1), places })))).toEqual([["a"], []]);
});

test("a function's keys bear their place, and the strict one is the first", () => {
  const functionKeys = [
    { key: "acme", limit: 3 },
    { key: "acme", limit: 1, strict: true },
  ];
  expect(turnKeys({ queueId: 4, functionKeys })).toEqual({
    keys: [
      { queueId: 4, key: "strict:acme", limit: 1 },
      { queueId: 4, key: "0:acme", limit: 3 },
    ],
    strict: true,
  });
  expect(turnKeys({ queueId: 4, functionKeys: functionKeys.slice(0, 1) })).toMatchObject({ strict: false });
  expect(turnKeys({ queueId: 4, concurrencyKey: "acme", keyOrder: "strict" })).toEqual({
    keys: [{ queueId: 0, key: "acme" }],
    strict: true,
  });
  expect(turnKeys({ queueId: 4, keyOrder: "strict" })).toEqual({ keys: [], strict: false });
});

test.each([
  ["three keys", { functionKeys: [1, 2, 3].map((n) => ({ key: String(n), limit: 1 })) }],
  ["a key of its workspace beside its function's", { concurrencyKey: "a", functionKeys: [{ key: "b", limit: 1 }] }],
  ["two strict keys", { functionKeys: [1, 2].map((n) => ({ key: String(n), limit: 1, strict: true })) }],
])("a job cannot have %s", (_, job) => {
  expect(() => turnKeys({ queueId: 4, ...job })).toThrow(/keys? /);
});

test("a key that was not locked gives nothing", () => {
  expect(ids(shareTurns([job("a", { keyId: 7 })], rooms()))).toEqual([[], [{ id: "a", on: 7, forgone: [] }]]);
});

test("workspaces are visited in turn, however many queues one of them has", () => {
  const ready = [
    ...Array.from({ length: 50 }, (_, n) => ({ queueId: n, workspace: "busy" })),
    { queueId: 100, workspace: "quiet" },
  ];
  const none = { workspaces: new Map<string, number>(), queues: new Map<number, number>() };
  expect(inTurn(ready, none, 4).map(({ workspace }) => workspace)).toEqual(["busy", "quiet", "busy", "busy"]);
  const visits = {
    workspaces: new Map([
      ["busy", 5],
      ["quiet", 4],
    ]),
    queues: new Map([
      [0, 5],
      [1, 4],
    ]),
  };
  expect(inTurn(ready, visits, 2).map(({ queueId }) => queueId)).toEqual([100, 2]);
});

test("of the queues of a workspace the one that was visited longest ago comes first, and each comes", () => {
  const ready = Array.from({ length: 5 }, (_, queueId) => ({ queueId, workspace: "w" }));
  const queues = new Map<number, number>();
  const seen: number[] = [];
  for (let tick = 1; tick <= 5; tick++) {
    const [next] = inTurn(ready, { workspaces: new Map(), queues }, 1);
    queues.set(next!.queueId, tick);
    seen.push(next!.queueId);
  }
  expect(seen.sort()).toEqual([0, 1, 2, 3, 4]);
});
