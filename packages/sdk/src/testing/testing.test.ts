import { expect, test } from "vitest";
import { NonRetriableError, RotorInputError } from "../errors.js";
import { defineEvent } from "../events.js";
import { createFunction } from "../function.js";
import { testRotor } from "./index.js";

const added = defineEvent<{ contactId: string }>("contact.added");
const opened = defineEvent<{ contactId: string }>("email.opened");

let mails: string[] = [];
const outreach = createFunction({ id: "outreach", trigger: { event: added } }, async ({ event, step }) => {
  const { contactId } = event.data;
  await step.run("first-mail", () => void mails.push(`first to ${contactId}`));
  const answer = await step.waitForEvent("opened", { event: opened, match: { contactId }, timeout: "3d" });
  if (answer) return "opened";
  await step.sleep("pause", "1d");
  await step.run("second-mail", () => void mails.push(`second to ${contactId}`));
  return "reminded";
});

test("a run waits for its event, and only for its own", async () => {
  mails = [];
  const rotor = testRotor({ functions: [outreach], now: "2027-01-01T09:00:00Z" });
  await rotor.send(added({ contactId: "c1" }));
  const run = rotor.runOf(outreach);
  expect(mails).toEqual(["first to c1"]);
  expect(run.waitsFor).toEqual([
    { key: "opened", kind: "event", events: ["email.opened"], signals: [], until: new Date("2027-01-04T09:00:00Z") },
  ]);
  await rotor.advance("2d");
  await rotor.send("email.opened", { contactId: "c2" });
  expect(run.state).toBe("waiting");
  await rotor.send("email.opened", { contactId: "c1" });
  expect([run.state, run.result]).toEqual(["completed", "opened"]);
});

test("time passes only when it is moved, and stops wherever something becomes due", async () => {
  mails = [];
  const rotor = testRotor({ functions: [outreach], now: "2027-01-01T09:00:00Z" });
  const run = await rotor.start(outreach, { contactId: "c1" });
  await rotor.advance("30d");
  expect([run.state, run.result, mails.length]).toEqual(["completed", "reminded", 2]);
  expect(rotor.now).toEqual(new Date("2027-01-31T09:00:00Z"));
  expect(run.steps.map(({ key, state }) => `${key} ${state}`)).toEqual([
    "first-mail completed",
    "opened completed",
    "pause completed",
    "second-mail completed",
  ]);
});

test("a step that fails is tried again when its back-off is over; mocks stand in for steps", async () => {
  let calls = 0;
  const rotor = testRotor({
    functions: [outreach],
    mocks: {
      "first-mail": ({ attempt }) => {
        calls += 1;
        if (attempt < 3) throw new Error("busy");
      },
    },
  });
  const run = await rotor.start(outreach, { contactId: "c1" });
  expect([calls, run.steps]).toMatchObject([1, [{ key: "first-mail", state: "waiting", attempt: 1 }]]);
  await rotor.advance("1m");
  expect([calls, run.waitsFor[0]?.key]).toEqual([3, "opened"]);
});

test("code that throws outside a step is delivered again, and at last fails with its error", async () => {
  const attempts: number[] = [];
  const broken = createFunction({ id: "broken", retries: 2 }, ({ attempt }) => {
    attempts.push(attempt);
    throw new TypeError("no");
  });
  const fatal = createFunction({ id: "fatal" }, () => {
    throw new NonRetriableError("never");
  });
  const rotor = testRotor({ functions: [broken, fatal] });
  const run = await rotor.start(broken);
  await rotor.advance("1h");
  expect([attempts, run.state, run.error?.name, run.error?.message]).toEqual([[1, 2, 3], "failed", "TypeError", "no"]);
  expect((await rotor.start(fatal)).error?.message).toBe("never");
});

test("a signal is completed once; one that nobody waits for is told with those that are", async () => {
  const approval = createFunction({ id: "approval" }, ({ step }) =>
    step.waitForSignal<string>("ok", { signal: "order-1", timeout: "1h" }),
  );
  const rotor = testRotor({ functions: [approval] });
  const run = await rotor.start(approval);
  await expect(rotor.signal("order-2", "yes")).rejects.toThrow('"order-2"; waited for: "order-1"');
  await rotor.signal("order-1", "yes");
  expect(run.result).toBe("yes");
  await expect(rotor.signal("order-1", "yes")).rejects.toThrow(RotorInputError);
});

test("what steps send starts runs, and what they enqueue is ended by the test", async () => {
  const first = createFunction({ id: "first" }, async ({ step }) => {
    await step.sendEvent("tell", { name: "told", data: 1 });
    const job = await step.enqueue("ask", "mails", { payload: { to: "a" } }, { wait: true });
    return step.invoke("last", { workflow: third, data: job, timeout: "1h" });
  });
  const second = createFunction({ id: "second", trigger: { event: "told" } }, ({ event }) => event.data);
  const third = createFunction({ id: "third" }, ({ event }) => ({ got: event.data as string }));
  const rotor = testRotor({ functions: [first, second, third] });
  const run = await rotor.start(first);
  expect(rotor.sent).toEqual([{ name: "told", data: 1 }]);
  expect(rotor.runOf(second).result).toBe(1);
  expect(rotor.enqueued).toMatchObject([{ queue: "mails", payload: { to: "a" }, runId: run.id, step: "ask" }]);
  await rotor.enqueued[0]!.complete("sent");
  expect(run.result).toEqual({ result: { got: "sent" }, runId: rotor.runOf(third).id });
});

test("an event of the future comes when its time has come", async () => {
  const later = createFunction({ id: "later", trigger: { event: "later" } }, () => "came");
  const rotor = testRotor({ functions: [later], now: "2027-01-01T00:00:00Z" });
  await rotor.send({ name: "later", data: null, ts: rotor.now.getTime() + 60_000 });
  expect(rotor.runs).toEqual([]);
  await rotor.advance("1m");
  expect(rotor.runOf(later).result).toBe("came");
});

test("an expression is the test's to bring; without one it is told, not taken for a match", async () => {
  const cel = createFunction({ id: "cel", trigger: { event: "e", if: "data.n > 1" } }, ({ step }) =>
    step.waitForEvent("w", { event: "f", match: "data.n == trigger.data.n", timeout: "1h" }),
  );
  const none = testRotor({ functions: [cel] });
  await expect(none.send("e", { n: 2 })).rejects.toThrow(/"data.n > 1": .* testRotor a library of CEL/);
  await expect(none.start(cel, { n: 2 })).rejects.toThrow("data.n == trigger.data.n");
  const asked: string[] = [];
  const rotor = testRotor({
    functions: [cel],
    matches: (expression, { data, trigger }) => {
      asked.push(expression);
      const { n } = data as { n: number };
      return expression === "data.n > 1" ? n > 1 : n === (trigger!.data as { n: number }).n;
    },
  });
  await rotor.send("e", { n: 1 });
  expect(rotor.runs).toEqual([]);
  await rotor.send("e", { n: 2 });
  await rotor.send("f", { n: 3 });
  expect(rotor.runOf(cel).state).toBe("waiting");
  await rotor.send("f", null);
  await rotor.send("f", { n: 2 });
  expect(rotor.runOf(cel).result).toEqual({ n: 2 });
});

test("cancelled and diverged runs say so", async () => {
  let kind = "sleep";
  const changing = createFunction({ id: "changing" }, async ({ step }): Promise<unknown> => {
    if (kind === "sleep") await step.sleep("a", "1h");
    else await step.run("a", () => 1);
    return step.sleep("b", "1h");
  });
  const rotor = testRotor({ functions: [changing] });
  const [held, cancelled] = [await rotor.start(changing), await rotor.start(changing)];
  await cancelled.cancel();
  kind = "run";
  await rotor.advance("1h");
  expect([held.state, held.held]).toEqual(["waiting", expect.stringMatching(/step a is recorded as sleep.* kind run/)]);
  expect([cancelled.state, cancelled.steps[0]?.state]).toEqual(["cancelled", "dropped"]);
});

test("what the code does to a result changes nothing of what is stored", async () => {
  const greedy = createFunction({ id: "greedy" }, async ({ step }) => {
    const list = await step.run("list", () => [1]);
    list.push(2);
    await step.sleep("s", "1h");
    return list;
  });
  const rotor = testRotor({ functions: [greedy] });
  const run = await rotor.start(greedy);
  await rotor.advance("1h");
  expect([run.result, run.steps[0]?.output]).toEqual([[1, 2], [1]]);
});

test("settings that cannot be are refused with what to write", async () => {
  expect(() => testRotor({ functions: [outreach, outreach] })).toThrow('Two functions have the id "outreach"');
  expect(() => testRotor({ functions: [], now: "soon" })).toThrow("ISO date");
  const rotor = testRotor({ functions: [] });
  await expect(rotor.start(outreach, { contactId: "c" })).rejects.toThrow('not given the function "outreach"');
  expect(() => rotor.runOf(outreach)).toThrow('No run of "outreach" was started');
});

test("of two events, or two starts of a function, with one id the second gives what the first began", async () => {
  const one = createFunction({ id: "one", trigger: { event: "came" } }, ({ event }) => event.data);
  const other = createFunction({ id: "other" }, () => "other");
  const rotor = testRotor({ functions: [one, other] });
  const [first, again] = [
    await rotor.send({ name: "came", data: 1, id: "e1" }),
    await rotor.send({ name: "came", data: 2, id: "e1" }),
  ];
  expect([again.id, again.runs.map(({ id }) => id)]).toEqual(["e1", first.runs.map(({ id }) => id)]);
  const started = [
    await rotor.start(one, 1, { id: "s1" }),
    await rotor.start(one, 2, { id: "s1" }),
    await rotor.start(other, undefined, { id: "s1" }),
  ];
  expect(started.map(({ result }) => result)).toEqual([1, 1, "other"]);
  expect(rotor.runs).toHaveLength(3);
});
