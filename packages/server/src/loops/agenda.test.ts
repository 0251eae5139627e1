/** What a node remembers of what is due. */
import { expect, test } from "vitest";
import type { Due } from "../store/claim.js";
import { createAgenda } from "./agenda.js";

const queue = (queueId: number, more: Partial<Due> = {}): Due => ({
  queueId,
  workspace: "default",
  kind: "callback",
  plain: true,
  dueInMs: 0,
  ...more,
});

/** One that has looked at a time 0, and is to look again at 1,000. */
function looked(...due: Due[]) {
  const agenda = createAgenda();
  expect(agenda.take(0)).toBeUndefined();
  agenda.looked(due, 1_000);
  return agenda;
}

test("it looks first, and again when the time has come", () => {
  const agenda = looked(queue(1));
  expect(agenda.restMs(400)).toBe(600);
  agenda.due(1);
  expect(agenda.take(1_000)).toBeUndefined();
});

test("what is due in a queue that a look told of is had without another", () => {
  const agenda = looked(queue(1), queue(2));
  agenda.due(2);
  agenda.due(2);
  expect(agenda.take(1)).toEqual([queue(2)]);
  expect(agenda.restMs(1)).toBe(999);
  // Taken once.
  expect(agenda.take(2)).toBeUndefined();
});

test.each([
  ["no look told of", 7],
  ["something limits", 2],
])("for a queue that %s, it looks", (_, id) => {
  const agenda = looked(queue(1), queue(2, { plain: false }));
  agenda.due(1);
  agenda.due(id);
  expect(agenda.restMs(1)).toBe(0);
  expect(agenda.take(1)).toBeUndefined();
});

test("whoever is unsure looks, whatever else is known", () => {
  const agenda = looked(queue(1));
  agenda.due(1);
  agenda.unsure();
  expect(agenda.take(1)).toBeUndefined();
});

test("what is told during a look makes another", () => {
  const agenda = looked(queue(1));
  agenda.unsure();
  expect(agenda.take(1)).toBeUndefined();
  agenda.unsure();
  agenda.looked([], 1_000);
  expect(agenda.restMs(1)).toBe(0);
  agenda.due(1);
  expect(agenda.take(1)).toBeUndefined();
});

test("a look that fails is made again", () => {
  const agenda = looked(queue(1));
  agenda.unsure();
  expect(agenda.take(1)).toBeUndefined();
  expect(agenda.restMs(1)).toBe(0);
});

test("a queue of which nothing was had is looked for until a look tells of it", () => {
  const agenda = looked(queue(1));
  agenda.wrong(1);
  expect(agenda.restMs(1)).toBe(0);
  agenda.take(1);
  agenda.looked([], 1_000);
  agenda.due(1);
  expect(agenda.take(1)).toBeUndefined();
  agenda.looked([queue(1)], 1_000);
  agenda.due(1);
  expect(agenda.take(1)).toEqual([queue(1)]);
});

test("of many queues at once one look tells as much", () => {
  const many = Array.from({ length: 51 }, (_, id) => queue(id));
  const agenda = looked(...many);
  for (const { queueId } of many) agenda.due(queueId);
  expect(agenda.take(1)).toBeUndefined();
});

test("it counts what it is told", () => {
  const agenda = looked(queue(1));
  const { told } = agenda;
  agenda.due(1);
  agenda.due(9);
  agenda.unsure();
  expect(agenda.told).toBe(told + 3);
});
