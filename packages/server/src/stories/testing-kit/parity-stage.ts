/** Two worlds with the same handles: a real server with its clock in the test's hand, and the SDK's testing kit. */
import { evaluate } from "@marcbachmann/cel-js";
import type { Duration, RotorFunction } from "@rotorsh/sdk";
import { parseDuration } from "@rotorsh/sdk/duration";
import { testRotor } from "@rotorsh/sdk/testing";
import { sql } from "../../store/db.js";
import { faultyApp } from "../../testing-kit/faulty-app.js";
import { eventually, type TestServer } from "../../testing-kit/server.js";

/** What a scenario does to its world. Each resolves when nothing moves any more. */
export type World = {
  readonly start: (fn: RotorFunction, data?: unknown) => Promise<string>;
  /** Within a step's code it resolves when the event is published. */
  readonly send: (name: string, data?: unknown, id?: string) => Promise<void>;
  readonly signal: (id: string, data?: unknown) => Promise<void>;
  readonly cancel: (runId: string) => Promise<void>;
  readonly advance: (duration: Duration) => Promise<void>;
};

export type Scenario = {
  readonly functions: (world: () => World) => readonly RotorFunction[];
  /** Names of queues whose endpoint answers `{ "ok": true }`. */
  readonly queues?: readonly string[];
  readonly play: (world: World, functions: readonly RotorFunction[]) => Promise<void>;
};

type StepSeen = readonly [key: string, kind: string, state: string, attempt: number, failures: string[], end?: unknown];
export type RunSeen = {
  readonly function: string;
  readonly state: string;
  readonly held: boolean;
  readonly end: unknown;
  readonly steps: readonly StepSeen[];
};

type ErrorLike = { readonly name: string; readonly message: string };

const told = (error: ErrorLike) => `${error.name}: ${error.message}`;

/** Ids are made anew in each world. */
const withoutIds = (seen: readonly RunSeen[]): RunSeen[] =>
  JSON.parse(JSON.stringify(seen).replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>"));

/** Unfinished steps have no order of their own. */
function inOrder(steps: readonly StepSeen[]): StepSeen[] {
  const open = steps.filter(([, , state]) => state === "waiting" || state === "dropped");
  return [...steps.filter((step) => !open.includes(step)), ...open.sort(([a], [b]) => (a < b ? -1 : 1))];
}

const endOf = (step: { state: string; output?: unknown; error?: ErrorLike | null }): unknown =>
  step.state === "completed"
    ? (step.output ?? null)
    : step.state === "failed" && step.error
      ? told(step.error)
      : undefined;

export async function playInTestRotor({ functions, queues = [], play }: Scenario): Promise<RunSeen[]> {
  const all = functions(() => world);
  const rotor = testRotor({ functions: all, matches: evaluate });
  const done = new Set<string>();
  const rest = async (): Promise<void> => {
    for (const job of rotor.enqueued) {
      if (done.has(job.id) || !queues.includes(job.queue)) continue;
      done.add(job.id);
      await job.complete({ ok: true });
    }
  };
  const world: World = {
    start: async (fn, data) => {
      const { id } = await rotor.start(fn as RotorFunction<unknown>, data);
      await rest();
      return id;
    },
    send: async (name, data, id) => {
      await rotor.send({ name, data, ...(id !== undefined && { id }) });
      await rest();
    },
    signal: async (id, data) => {
      await rotor.signal(id, data);
      await rest();
    },
    cancel: async (runId) => rotor.runs.find(({ id }) => id === runId)!.cancel(),
    advance: async (duration) => {
      await rotor.advance(duration);
      await rest();
    },
  };
  await play(world, all);
  const seen = rotor.runs.map(
    (run): RunSeen => ({
      function: run.function,
      state: run.state,
      held: run.held !== undefined,
      end: run.state === "completed" ? run.result : run.error && told(run.error),
      steps: inOrder(
        run.steps.map((step) => [step.key, step.kind, step.state, step.attempt, step.failures.map(told), endOf(step)]),
      ),
    }),
  );
  return withoutIds(seen.sort((a, b) => (a.function < b.function ? -1 : a.function > b.function ? 1 : 0)));
}

/** Jobs that the server has in hand, or should have. */
const restless = sql(
  "parity.restless",
  `select count(*)::int as count from rotor.jobs
    where state = 'active' or (state = 'waiting' and due_at <= rotor.clock() and held_at is null)
       or (due_at is not null and deadline_at <= rotor.clock())`,
);

let shiftMs = 0;

export async function playOnServer(
  server: TestServer,
  name: string,
  { functions, queues = [], play }: Scenario,
): Promise<RunSeen[]> {
  const rest = () =>
    eventually("rest", async () => (await server.db.query<{ count: number }>(restless))[0]!.count === 0);
  const endpoint = await server.serve((_, response) => response.end('{"ok":true}'));
  for (const queue of queues) await server.rotor.queues.create(queue, { callbackUrl: endpoint });
  let playing = false;
  const world: World = {
    start: async (fn, data) => {
      const { runId } = await server.rotor.runs.start(fn as RotorFunction<unknown>, data);
      await rest();
      return runId;
    },
    send: async (event, data, id) => {
      const within = playing;
      await server.rotor.send({ name: event, data, id });
      if (!within) await rest();
    },
    signal: async (id, data) => {
      await server.rotor.signals.complete(id, data);
      await rest();
    },
    cancel: async (runId) => {
      await server.rotor.runs.cancel(runId);
      await rest();
    },
    advance: async (duration) => {
      shiftMs += parseDuration(duration);
      await server.shiftClock(shiftMs);
      await rest();
    },
  };
  // A step that sends must not wait for the rest that itself disturbs.
  const inStep: World = {
    ...world,
    send: async (event, data, id) => {
      playing = true;
      await world.send(event, data, id).finally(() => {
        playing = false;
      });
    },
  };
  const all = functions(() => inStep);
  await faultyApp(server, name, all);
  await play(world, all);
  const seen: RunSeen[] = [];
  const names = all.flatMap(({ id, onFailure }) => (onFailure === undefined ? [id] : [id, `${id}.on-failure`]));
  for (const fn of names.sort()) {
    const { data } = await server.rotor.runs.list({ function: fn }).page();
    for (const { id } of [...data].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))) {
      const run = await server.rotor.runs.get(id);
      seen.push({
        function: fn,
        state: run.state,
        held: run.reason === "held",
        end: run.state === "completed" ? run.output : run.state === "failed" && run.error ? told(run.error) : undefined,
        steps: inOrder(
          run.steps!.map((step) => [
            step.key,
            step.kind,
            step.state,
            step.attempt,
            step.failures.map(({ error }) => told(error)),
            endOf(step),
          ]),
        ),
      });
    }
  }
  return withoutIds(seen);
}
