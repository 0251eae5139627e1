import { expect, test } from "vitest";
import type { Answer } from "./protocol.js";
import { answerContext } from "./protocol.js";
import { verifyAnswer } from "./signature.js";
import { KEY } from "./testing-kit/peer.js";
import { gate, peerFor } from "./testing-kit/peer-for.js";
import { turn } from "./turn.js";

type Peer = Awaited<ReturnType<typeof peerFor>>;

/** A function whose first step is held in its first execution; what it did is in `log`. */
async function heldInFirst() {
  const log: string[] = [];
  const begun = gate();
  const goOn = gate();
  let executions = 0;
  const peer = await peerFor(async ({ step }) => {
    await step.run("a", async ({ signal }) => {
      const number = ++executions;
      log.push(`a ${number}`);
      if (number > 1) return;
      signal.addEventListener("abort", () => log.push(`a 1 aborted: ${signal.reason.message}`));
      begun.open();
      await goOn.opened;
    });
    await step.run("b", () => log.push("b"));
  });
  return { peer, log, begun: begun.opened, goOn: goOn.open };
}

async function answerOf(peer: Peer, asked: ReturnType<Peer["request"]>): Promise<Answer> {
  const text = await (await peer.post(JSON.stringify(asked))).text();
  return JSON.parse(verifyAnswer(text, answerContext(asked.run, asked.delivery), KEY)!.json) as Answer;
}

test("a newer delivery of a run ends the one before it: its step is aborted, and its code goes no further", async () => {
  const { peer, log, begun, goOn } = await heldInFirst();
  const run = peer.create("f");
  const first = answerOf(peer, peer.request(run));
  await begun;
  expect(await peer.deliver(run)).toMatchObject({ status: "completed" });
  expect(await first).toMatchObject({ status: "stale" });
  goOn();
  // Whatever its code could still do would have begun by then.
  for (let n = 0; n < 10; n++) await turn();
  expect(log).toEqual(["a 1", "a 1 aborted: This delivery of the run is over", "a 2", "b"]);
});

test("an older delivery that comes late runs nothing", async () => {
  const { peer, log, begun, goOn } = await heldInFirst();
  const run = peer.create("f");
  const late = peer.request(run);
  const newer = answerOf(peer, peer.request(run));
  await begun;
  expect(await answerOf(peer, late)).toMatchObject({ status: "stale" });
  expect(log).toEqual(["a 1"]);
  goOn();
  expect(await newer).toMatchObject({ status: "completed" });
});

test("runs know nothing of each other, and one that has ended nothing of the next", async () => {
  const { peer, begun, goOn } = await heldInFirst();
  const [held, other] = [peer.create("f"), peer.create("f")];
  const first = answerOf(peer, peer.request(held));
  await begun;
  for (const _ of [1, 2]) expect(await peer.deliver(other)).toMatchObject({ status: "completed" });
  goOn();
  expect(await first).toMatchObject({ status: "completed" });
  expect(await peer.deliver(held)).toMatchObject({ status: "completed" });
});
