import { expect, test } from "vitest";
import type { CheckpointResult } from "./checkpoint.js";
import type { LaneSettings, Outgoing, Passenger, ReplyOfRun } from "./lane.js";
import { createLane, outgoing } from "./lane.js";
import type { CheckpointRequest } from "./protocol.js";

type Held = { body: CheckpointRequest; answer: (result: CheckpointResult) => void };

/** A lane whose POSTs wait for the test to answer them. */
function laneWith(settings: Partial<LaneSettings> = {}) {
  const posts: Held[] = [];
  const listeners: (() => void)[] = [];
  const lane = createLane("http://checkpoints.test", {
    post: (_url, body) =>
      new Promise((answer) => {
        posts.push({ body: JSON.parse(body), answer });
        for (const listener of listeners.splice(0)) listener();
      }),
    ...settings,
  });
  /** The n-th POST, once it has left. */
  const post = async (n: number): Promise<Held> => {
    while (posts.length < n) await new Promise<void>((resolve) => listeners.push(resolve));
    return posts[n - 1]!;
  };
  return { lane, posts, post };
}

function passenger(token: string) {
  const replies: { reply: ReplyOfRun; sent: readonly Outgoing[] }[] = [];
  const unsent: (readonly Outgoing[])[] = [];
  const one: Passenger = {
    token,
    knownSeq: () => 7,
    replied: (reply, sent) => replies.push({ reply, sent }),
    unreachable: (reports) => unsent.push(reports),
  };
  return { one, replies, unsent };
}

const sleep = (key: string) => outgoing({ kind: "sleep", key, delay_ms: 1 });
const big = (key: string, bytes: number) =>
  outgoing({ kind: "run", key, attempt: 1, duration_ms: 0, outcome: "completed", output: "é".repeat(bytes / 2) });
const go = (count: number, verdict: ReplyOfRun["verdict"] = "go"): CheckpointResult => ({
  kind: "reply",
  reply: { version: 1, runs: Array.from({ length: count }, () => ({ verdict, steps: [] })) },
});
const shape = ({ body }: Held) => body.runs.map(({ token, reports }) => [token, ...reports.map(({ key }) => key)]);

test("an idle lane sends at once, a busy one gathers what comes while a POST is on its way", async () => {
  const { lane, post, posts } = laneWith();
  const [a, b] = [passenger("a"), passenger("b")];
  const [seatA, seatB] = [lane.join(a.one), lane.join(b.one)];
  seatA.report([sleep("1")]);
  const first = await post(1);
  expect(first.body).toMatchObject({ version: 1, runs: [{ token: "a", known_seq: 7 }] });
  seatB.report([sleep("2")]);
  seatA.report([sleep("3")]);
  seatB.report([sleep("4")]);
  expect([posts.length, seatA.busy, seatB.busy]).toEqual([1, true, true]);
  first.answer(go(1));
  const second = await post(2);
  expect(shape(second)).toEqual([
    ["b", "2", "4"],
    ["a", "3"],
  ]);
  expect(a.replies.map(({ sent }) => sent.map(({ report }) => report.key))).toEqual([["1"]]);
});

test("a POST carries at most a thousand reports and three megabytes; a larger report travels alone", async () => {
  const { lane, post } = laneWith();
  const { one } = passenger("a");
  const seat = lane.join(one);
  seat.report([
    ...Array.from({ length: 1_500 }, (_, i) => sleep(`s${i}`)),
    big("x", 2_000_000),
    big("y", 3_500_000),
    big("z", 10),
  ]);
  const counts: number[] = [];
  for (let n = 1; n <= 4; n++) {
    const held = await post(n);
    counts.push(held.body.runs[0]!.reports.length);
    held.answer(go(1));
  }
  expect(counts).toEqual([1_000, 501, 1, 1]);
});

test("every delivery in hand shows life in one POST, with or without reports", async () => {
  const { lane, post } = laneWith({ beatMs: 5 });
  const [a, b] = [passenger("a"), passenger("b")];
  const seats = [lane.join(a.one), lane.join(b.one)];
  const beat = await post(1);
  expect(shape(beat)).toEqual([["a"], ["b"]]);
  beat.answer(go(2, "yield"));
  await post(2);
  expect([a.replies[0]?.reply.verdict, b.replies[0]?.reply.verdict]).toEqual(["yield", "yield"]);
  for (const seat of seats) seat.leave();
});

test("a lane that gets no answer gives all reports back and is left alone for a while", async () => {
  const { lane, post, posts } = laneWith();
  const [a, b] = [passenger("a"), passenger("b")];
  const [seatA, seatB] = [lane.join(a.one), lane.join(b.one)];
  seatA.report([sleep("1")]);
  const first = await post(1);
  seatB.report([sleep("2")]);
  first.answer({ kind: "unreachable" });
  await new Promise(setImmediate);
  expect([a.unsent, b.unsent].map((all) => all.flat().map(({ report }) => report.key))).toEqual([["1"], ["2"]]);
  expect([lane.down, seatA.busy, seatB.busy]).toEqual([true, false, false]);
  seatA.report([sleep("3")]);
  expect([posts.length, a.unsent.length]).toEqual([1, 2]);
});

test("a server that refuses is asked again, a few times, before it counts as not reached", async () => {
  const { lane, post } = laneWith({ pauseMs: 1 });
  const { one, unsent } = passenger("a");
  lane.join(one).report([sleep("1")]);
  for (let n = 1; n <= 6; n++) {
    const held = await post(n);
    expect(shape(held)).toEqual([["a", "1"]]);
    held.answer({ kind: "refused" });
  }
  await new Promise(setImmediate);
  expect(unsent).toHaveLength(1);
});

test("of several reports that are refused as invalid, each is sent alone to find the one that is meant", async () => {
  const { lane, post } = laneWith();
  const { one, replies } = passenger("a");
  const seat = lane.join(one);
  seat.report([sleep("1"), sleep("2")]);
  (await post(1)).answer(go(1, "invalid"));
  const [second, third] = [await post(2), post(3)];
  second.answer(go(1));
  (await third).answer(go(1, "invalid"));
  await new Promise(setImmediate);
  expect(replies.map(({ reply, sent }) => [reply.verdict, sent.map(({ report }) => report.key)])).toEqual([
    ["go", ["1"]],
    ["invalid", ["2"]],
  ]);
});

test("who has left is told nothing and sends nothing", async () => {
  const { lane, post, posts } = laneWith();
  const [a, b] = [passenger("a"), passenger("b")];
  const [seatA, seatB] = [lane.join(a.one), lane.join(b.one)];
  seatA.report([sleep("1")]);
  const first = await post(1);
  seatA.report([sleep("2")]);
  seatA.leave();
  seatB.report([sleep("3")]);
  first.answer(go(1));
  expect(shape(await post(2))).toEqual([["b", "3"]]);
  expect([a.replies.length, posts.length]).toEqual([0, 2]);
});

test("a run in a long step shows life though others keep the lane busy", async () => {
  const { lane, post } = laneWith({ beatMs: 20 });
  const [quiet, busy] = [passenger("quiet"), passenger("busy")];
  const seats = [lane.join(quiet.one), lane.join(busy.one)];
  const until = performance.now() + 1_000;
  let heard = false;
  // Every reply is followed by the next report at once: the lane is never idle.
  for (let n = 1; !heard && performance.now() < until; n++) {
    seats[1]!.report([sleep(`${n}`)]);
    const held = await post(n);
    heard = held.body.runs.some(({ token }) => token === "quiet");
    held.answer(go(held.body.runs.length));
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const seat of seats) seat.leave();
  expect(heard).toBe(true);
});

test("a run of which more has ended than a reply holds is asked for again, in a POST of its own", async () => {
  const { lane, post } = laneWith();
  const [a, b] = [passenger("a"), passenger("b")];
  const [seatA, seatB] = [lane.join(a.one), lane.join(b.one)];
  seatA.report([sleep("1")]);
  seatB.report([sleep("2")]);
  const first = await post(1);
  expect(shape(first)).toEqual([
    ["a", "1"],
    ["b", "2"],
  ]);
  seatB.report([sleep("3")]);
  const more: ReplyOfRun = { verdict: "go", steps: [], more: true };
  first.answer({ kind: "reply", reply: { version: 1, runs: [more, { verdict: "go", steps: [] }] } });
  const second = await post(2);
  expect([shape(second), seatA.busy]).toEqual([[["a"]], true]);
  second.answer({ kind: "reply", reply: { version: 1, runs: [more] } });
  // The others have their turn meanwhile.
  const third = await post(3);
  expect(shape(third)).toEqual([["b", "3"]]);
  third.answer(go(1));
  const fourth = await post(4);
  expect(shape(fourth)).toEqual([["a"]]);
  fourth.answer(go(1));
  while (a.replies.length < 3) await new Promise(setImmediate);
  expect(seatA.busy).toBe(false);
  for (const seat of [seatA, seatB]) seat.leave();
});
