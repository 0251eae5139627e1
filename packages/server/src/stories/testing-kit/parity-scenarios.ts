/** What the testing kit must do as a server does. Each has names of its own, since they share one server. */
import { createFunction, NonRetriableError, type RotorFunction } from "@rotorsh/sdk";
import type { Scenario } from "./parity-stage.js";

const nameOf = (error: Error): string => error.name;
const told = (error: Error): string => `${error.name}: ${error.message}`;

/** One function, started with `data`, and what is done then. */
const alone = (fn: RotorFunction<never>, play: Scenario["play"] = async () => {}, data: unknown = {}): Scenario => ({
  functions: () => [fn as RotorFunction],
  play: async (world, functions) => {
    await world.start(functions[0]!, data);
    await play(world, functions);
  },
});

const failing = (id: string, failures: number, retries: number) =>
  createFunction({ id, retries }, async ({ step }) =>
    step.run("flaky", ({ attempt }) => {
      if (attempt <= failures) throw new TypeError(`failure ${attempt}`);
      return attempt;
    }),
  );

export const scenarios: Readonly<Record<string, Scenario>> = {
  "steps, sleeps and a result": alone(
    createFunction({ id: "plain" }, async ({ event, step }) => {
      const first = await step.run("first", () => ({ at: new Date(0), nothing: undefined, n: event.data.n }));
      await step.sleep("pause", "1h");
      await step.sleepUntil("past", "2020-01-01T00:00:00Z");
      const loop: unknown[] = [];
      for (let n = 0; n < 3; n++) loop.push(await step.run("again", () => n));
      return { first, loop };
    }),
    (world) => world.advance("1h"),
    { n: 7 },
  ),
  "an event ends its wait, another's does not, by object": alone(
    createFunction({ id: "by-object" }, ({ event, step }) =>
      step.waitForEvent("w", { event: "by-object.came", match: { "who.id": event.data.id }, timeout: "1d" }),
    ),
    async (world) => {
      for (const id of [1, "2", null, 2]) await world.send("by-object.came", { who: { id } });
    },
    { id: 2 },
  ),
  "an event ends its wait, another's does not, by expression": alone(
    createFunction({ id: "by-cel" }, async ({ step }) => [
      await step.waitForEvent("w", {
        event: "by-cel.came",
        match: 'data.id == trigger.data.id && event.name == "by-cel.came" && data.n > 1',
        timeout: "1d",
      }),
      await step.waitForEvent("w", { event: "by-cel.came", match: "data.", timeout: "1d" }).catch(nameOf),
    ]),
    async (world) => {
      for (const data of [{ id: 2 }, { id: 1, n: 2 }, null, "text", { id: 2, n: 1 }, { id: 2, n: 2 }])
        await world.send("by-cel.came", data);
    },
    { id: 2 },
  ),
  "a wait that nothing ends is null": alone(
    createFunction({ id: "silent" }, ({ step }) => step.waitForEvent("w", { event: "silent.never", timeout: "2h" })),
    async (world) => {
      await world.advance("1h");
      await world.advance("1h");
    },
  ),
  "events that came before the wait": {
    functions: (world) => [
      createFunction({ id: "early" }, async ({ step }) => {
        const wait = (id: string, event: string, since?: "run-start" | "now") =>
          step.waitForEvent(id, { event: `early.${event}`, timeout: "1h", ...(since && { since }) });
        await step.run("send-a", () => world().send("early.a", 1));
        const a = await wait("a", "a");
        await step.run("send-b", () => world().send("early.b", 2));
        await step.run("between", () => 0);
        await step.run("between", () => 0);
        const b = await wait("b", "b");
        const start = await wait("start", "b", "run-start");
        await step.run("send-c", () => world().send("early.c", 3));
        const now = await wait("now", "c", "now");
        return { a, b, start, now };
      }),
    ],
    play: async (world, [fn]) => {
      await world.start(fn!);
      await world.advance("1h");
      await world.advance("1h");
    },
  },
  "a loop of waits gets each event once, those that came together too": {
    functions: (world) => [
      createFunction({ id: "looping" }, async ({ step }) => {
        const seen: unknown[] = [];
        await step.run("send", async () => {
          for (const n of [1, 2, 3]) await world().send("looping.tick", n);
        });
        for (let n = 0; n < 5; n++) {
          seen.push(await step.waitForEvent("tick", { event: "looping.tick", timeout: "1h" }));
          await step.run("handle", () => n);
        }
        return seen;
      }),
    ],
    play: async (world, [fn]) => {
      await world.start(fn!);
      await world.send("looping.tick", 4);
      await world.advance("1h");
    },
  },
  "of two waits of one run for one event, the one stored last gets it": alone(
    createFunction({ id: "sharing" }, async ({ step }) => {
      const wait = (id: string) => step.waitForEvent(id, { event: "sharing.came", timeout: "1d" });
      const later = step.sleep("pause", "1h").then(() => Promise.all([wait("c"), wait("d")]));
      return Promise.all([wait("a"), wait("b"), later]);
    }),
    async (world) => {
      await world.advance("1h");
      for (const n of [1, 2, 3, 4]) await world.send("sharing.came", n);
    },
  ),
  "a race takes the first branch, and what is left is dropped": alone(
    createFunction({ id: "racing" }, async ({ step }) =>
      Promise.race([
        step.sleep("short", "1h").then(() => "slept"),
        step.waitForSignal("signal", { signal: "racing", timeout: "1d" }),
      ]),
    ),
    (world) => world.advance("1h"),
  ),
  "signals: completed, too late, and taken": {
    functions: () => [
      createFunction({ id: "signals" }, async ({ step }) => [
        await step.waitForSignal("first", { signal: "signals-1", timeout: "1h" }),
        await step.waitForSignal("second", { signal: "signals-2", timeout: "1h" }).catch(told),
        await step.waitForSignal("third", { signal: "signals-3", timeout: "1h" }),
      ]),
      createFunction({ id: "signals-thief" }, async ({ step }) =>
        step.waitForSignal("mine", { signal: "signals-3", timeout: "1h" }),
      ),
    ],
    play: async (world, [one, thief]) => {
      await world.start(one!);
      await world.signal("signals-1", { by: "me" });
      await world.advance("1h");
      await world.start(thief!);
      await world.signal("signals-3", null);
    },
  },
  "a step that fails is tried again": alone(failing("flaky", 2, 3), async (world) => {
    for (let n = 0; n < 2; n++) await world.advance("1m");
  }),
  "a step that has no attempts left throws into the function": alone(
    createFunction({ id: "hopeless" }, async ({ step }) => {
      const error = await step
        .run("bad", ({ attempt }) => Promise.reject(new RangeError(`no ${attempt}`)), { retries: 1 })
        .catch((thrown: Error) => [told(thrown), told(thrown.cause as Error)]);
      await step.run("fatal", () => Promise.reject(new NonRetriableError("never")));
      return error;
    }),
    (world) => world.advance("1m"),
  ),
  "code that throws outside a step is tried again, and fails the run": alone(
    createFunction({ id: "throwing", retries: 1 }, async ({ attempt, step }) => {
      await step.run("fine", () => 1);
      throw new TypeError(`attempt ${attempt}`);
    }),
    async (world) => {
      for (let n = 0; n < 3; n++) await world.advance("1m");
    },
  ),
  "steps at the same time": alone(
    createFunction({ id: "parallel" }, async ({ step }) => {
      const [a, b] = await Promise.all([
        step.run("a", () => "a"),
        step.sleep("nap", "1h").then(() => step.run("b", () => "b")),
      ]);
      return [a, b, await Promise.allSettled([step.run("c", () => Promise.reject(new Error("c")), { retries: 0 })])];
    }),
    (world) => world.advance("1h"),
  ),
  "children: how each end reaches the parent": {
    functions: () => {
      const good = createFunction({ id: "child-good" }, ({ event }) => ({ got: event.data }));
      const bad = createFunction({ id: "child-bad", retries: 0 }, () => Promise.reject(new TypeError("broken")));
      const slow = createFunction({ id: "child-slow" }, ({ step }) => step.sleep("z", "1d"));
      const parent = createFunction({ id: "children" }, async ({ step }) => [
        await step.invoke("good", { workflow: good, data: 1, timeout: "1h" }),
        await step.invoke("bad", { workflow: bad, data: 1, timeout: "1h" }).catch(told),
        await step.invoke("none", { workflow: "child-none", timeout: "1h" }).catch(told),
        await step.invoke("slow", { workflow: slow, data: 1, timeout: "2h" }).catch(told),
      ]);
      return [parent, good, bad, slow] as RotorFunction[];
    },
    play: async (world, [parent]) => {
      await world.start(parent!);
      await world.advance("2h");
    },
  },
  "a child that invokes, and is itself cancelled": {
    functions: () => {
      const child = createFunction({ id: "cancelled-inner" }, ({ step }) =>
        step.invoke("deep", { workflow: "cancelled-deep", timeout: "1d" }),
      );
      const deep = createFunction({ id: "cancelled-deep" }, ({ step }) => step.sleep("z", "1h"));
      return [child, deep] as RotorFunction[];
    },
    play: async (world, [child]) => {
      const id = await world.start(child!);
      await world.cancel(id);
      await world.advance("1h");
    },
  },
  "what steps send and enqueue": {
    queues: ["parity-mails"],
    functions: () =>
      [
        createFunction({ id: "sender" }, async ({ step }) => [
          await step.sendEvent("tell", [
            { name: "sender.told", data: { n: 1 } },
            { name: "sender.told", data: { n: 2 }, id: "sender-2" },
            { name: "sender.told", data: { n: 3 }, id: "sender-2" },
          ]),
          await step.enqueue("job", "parity-mails", { payload: { to: "a" } }),
          await step.enqueue("wait", "parity-mails", { payload: { to: "b" } }, { wait: true, timeout: "1h" }),
        ]),
        createFunction({ id: "sender-listener", trigger: { event: "sender.told", if: "data.n == 1" } }, ({ event }) => [
          event.name,
          event.data,
        ]),
      ] as RotorFunction[],
    play: async (world, [sender]) => {
      await world.start(sender!);
    },
  },
  "of two events with one id the second does nothing": {
    functions: () => [createFunction({ id: "twice", trigger: { event: "twice.came" } }, ({ event }) => event.data)],
    play: async (world) => {
      await world.send("twice.came", 1, "twice-1");
      await world.send("twice.came", 2, "twice-1");
    },
  },
  "a cancelled run stays as it is": {
    functions: () => [
      createFunction({ id: "stopped" }, async ({ step }) => {
        await step.run("a", () => 1);
        await step.sleep("b", "1h");
      }),
    ],
    play: async (world, [fn]) => {
      await world.cancel(await world.start(fn!));
      await world.advance("1h");
    },
  },
  "a failed run has one that handles it, which has none": {
    functions: () => [
      createFunction(
        {
          id: "handled",
          retries: 0,
          onFailure: async ({ step, error, event, failedStep }) => {
            await step.run("tell", () => [told(error), event.data, failedStep]);
            throw new NonRetriableError("nor can this be handled");
          },
        },
        async ({ step }) => step.run("charge", () => Promise.reject(new TypeError("no card"))),
      ),
    ],
    play: async (world, [fn]) => {
      await world.start(fn!, { order: 7 });
    },
  },
  "a run that has not ended in time fails, and is handled": {
    functions: () => [
      createFunction(
        {
          id: "slow",
          timeout: "90m",
          onFailure: ({ error, failedStep }) => [told(error), failedStep],
        },
        async ({ step }) => {
          await step.run("first", () => 1);
          await step.sleep("long", "2h");
          await step.run("second", () => 2);
        },
      ),
      createFunction({ id: "slow-enough", timeout: "90m" }, ({ step }) => step.sleep("short", "1h")),
    ],
    play: async (world, functions) => {
      for (const fn of functions) await world.start(fn);
      await world.advance("1h");
      await world.advance("30m");
      await world.advance("1h");
    },
  },
  "an event cancels the runs that it is meant for, in time": {
    functions: () => [
      createFunction(
        {
          id: "cancellable",
          cancelOn: [
            { event: "cancellable.gone", match: "data.id == trigger.data.id" },
            { event: "cancellable.soon", timeout: "10m" },
          ],
        },
        async ({ step }) => {
          await step.waitForEvent("w", { event: "cancellable.gone", timeout: "1d" });
          await step.sleep("s", "1h");
        },
      ),
    ],
    play: async (world, [fn]) => {
      for (const id of [1, 2]) await world.start(fn!, { id });
      await world.send("cancellable.gone", { id: 1 });
      await world.advance("10m");
      await world.send("cancellable.soon");
      await world.start(fn!, { id: 3 });
      await world.send("cancellable.soon");
      await world.advance("1h");
    },
  },
  "a run whose code asks for another kind of step is held": (() => {
    const code = new WeakMap<object, number>();
    return {
      functions: () => {
        const fn: RotorFunction = createFunction({ id: "changed" }, async ({ step }) => {
          if ((code.get(fn) ?? 0) === 0) await step.sleep("a", "1h");
          else await step.run("a", () => 1);
          await step.sleep("b", "1h");
        });
        return [fn];
      },
      play: async (world, [fn]) => {
        await world.start(fn!);
        code.set(fn!, 1);
        await world.advance("1h");
        await world.advance("1h");
      },
    } satisfies Scenario;
  })(),
};
