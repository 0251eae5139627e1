import { expect, expectTypeOf, test } from "vitest";
import { defineEvent } from "./events.js";
import { createFunction, manifestOf, type RotorFunction } from "./function.js";
import type { Step } from "./step.js";

const fetchContact = async (_id: string) => ({ email: "a@b.c", since: new Date(0), forget: () => {} });
const sendEmail = async (_to: string, _template: string) => {};

test("the guide's function compiles as it stands", () => {
  const outreachSequence = createFunction(
    { id: "outreach-sequence", trigger: { event: "contact.added" } },
    async ({ event, step }) => {
      const profile = await step.run("fetch-profile", () => fetchContact(event.data.contactId));
      expectTypeOf(profile).toEqualTypeOf<{ email: string; since: string }>();
      await step.sleep("warm-up", "24h");
      await step.run("send-email", () => sendEmail(profile.email, "intro"));
      const opened = await step.waitForEvent<{ at: string }>("wait-open", {
        event: "email.opened",
        match: `data.contactId == "${event.data.contactId}"`,
        timeout: "7d",
      });
      expectTypeOf(opened).toEqualTypeOf<{ at: string } | null>();
      if (opened) {
        await step.run("send-followup", () => sendEmail(profile.email, "followup"));
      }
    },
  );
  expect(manifestOf(outreachSequence as RotorFunction)).toEqual({
    id: "outreach-sequence",
    triggers: [{ event: "contact.added" }],
    max_attempts: 4,
    concurrency: 100,
  });
});

test("types follow from event definitions, functions and results", () => {
  const added = defineEvent<{ contactId: string; at: Date }>("contact.added");
  const typed = createFunction({ id: "typed", trigger: { event: added } }, async ({ event, step }) => {
    expectTypeOf(event.data).toEqualTypeOf<{ contactId: string; at: string }>();
    expectTypeOf(await step.waitForEvent("w", { event: added, timeout: "1d" })).toEqualTypeOf<{
      contactId: string;
      at: string;
    } | null>();
    expectTypeOf(await step.waitForEvent<number>("x", { event: added, timeout: "1d" })).toEqualTypeOf<number | null>();
    expectTypeOf(await step.waitForEvent("y", { event: "bare", timeout: "1d" })).toBeAny();
    expectTypeOf(await step.run("nothing", () => {})).toEqualTypeOf<null>();
    expectTypeOf(await step.run("maybe", (): { a?: number } | undefined => undefined)).toEqualTypeOf<{
      a?: number;
    } | null>();
    return { ok: true, when: new Date() };
  });
  const calls = async (step: Step) => {
    const { result } = await step.invoke("i", {
      workflow: typed,
      data: { contactId: "c", at: "2027-01-01" },
      timeout: "1h",
    });
    expectTypeOf(result).toEqualTypeOf<{ ok: boolean; when: string }>();
    // @ts-expect-error a bare number has no unit
    await step.sleep("n", 5);
    // @ts-expect-error the data is not what the function takes
    await step.invoke("j", { workflow: typed, data: { contactId: 1, at: "" }, timeout: "1h" });
  };
  createFunction({ id: "both", trigger: [{ event: "a" }, { cron: "@daily", timezone: "UTC" }] }, ({ event }) =>
    expectTypeOf(event.data).toBeAny(),
  );
  expect([typed.id, typeof calls]).toEqual(["typed", "function"]);
});

test("an id, trigger or option that is not possible is refused with a sentence", () => {
  const make = (config: object) => () => createFunction(config as { id: string }, () => 1);
  expect(make({ id: "-x" })).toThrow('Function id "-x": begin with a letter or digit');
  expect(make({ id: "x".repeat(129) })).toThrow("Function id");
  expect(make({ id: "x", trigger: { cron: "@daily" } })).toThrow("a trigger is { event");
  expect(make({ id: "x", trigger: { event: "" } })).toThrow("a trigger is { event");
  expect(make({ id: "x", retries: 1, max_attempts: 2 })).toThrow("not both");
  expect(make({ id: "x", retries: -1 })).toThrow("retries is a whole number");
  expect(make({ id: "x", concurrency: 0 })).toThrow("concurrency is a whole number");
  // @ts-expect-error a typo
  expect(() => createFunction({ id: "x", singelton: { mode: "skip" } }, () => 1)).toThrow(
    'this version does not know "singelton"',
  );
  expect(() => createFunction({ id: "x" }, undefined as never)).toThrow("its second argument is the code");
});

test("retries are counted without the first attempt, max_attempts with it", () => {
  const attempts = (config: object) => manifestOf(createFunction({ id: "x", ...config }, () => 1)).max_attempts;
  expect([attempts({}), attempts({ retries: 0 }), attempts({ max_attempts: 7 })]).toEqual([4, 1, 7]);
});

test("an event definition makes events of its name, which its schema checks", () => {
  const schema = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value: unknown) =>
        typeof (value as { n: unknown }).n === "number"
          ? { value: { ...(value as { n: number }), seen: true } }
          : { issues: [{ message: "not a number", path: [{ key: "n" }] }] },
      types: undefined as { input: { n: number }; output: { n: number; seen: boolean } } | undefined,
    },
  } as const;
  const counted = defineEvent("counted", schema);
  expect([counted.name, counted.eventName]).toEqual(["counted", "counted"]);
  expect(counted({ n: 1 }, { id: "e1", ts: 5 })).toEqual({
    name: "counted",
    data: { n: 1, seen: true },
    id: "e1",
    ts: 5,
  });
  expect(() => counted({ n: "1" } as never)).toThrow(
    'Event "counted": its data does not fit its schema: n: not a number',
  );
  expect(defineEvent("plain")({ any: 1 })).toEqual({ name: "plain", data: { any: 1 } });
});
