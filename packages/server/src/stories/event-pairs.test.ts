/**
 * Events before, during and after the waits for them, a thousand pairs each: none is missed, none counts twice, and no two
 * waits of one run share one, though all waits of a run ask for the same.
 */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sql } from "../store/db.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

const RUNS = 250;
/** Names of events, each for some runs: they meet at its lock. */
const NAMES = 25;
/** Waits of a run: two one after the other, then two side by side. */
const PAIRS = 4;
/** It takes some seconds; on a machine that is busy with other things, more. */
const MOST_MS = 240_000;

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const all = Array.from({ length: RUNS }, (_, n) => n);
const nth = Array.from({ length: PAIRS }, (_, n) => n);
const inMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Got = { readonly of: string; readonly n: number } | null;
type Step = Parameters<Parameters<typeof createFunction>[1]>[0]["step"];

const nameOf = (of: string) => `pair-${Number(of.split(" ")[1]) % NAMES}`;
const eventOf = (of: string, n: number) => ({ name: nameOf(of), id: `${of}/${n}`, data: { of, n } });

/** Sends, resolving when it is acknowledged; what is sent meanwhile goes together, as from one busy app. */
let sending: Promise<unknown> = Promise.resolve();
let next: ReturnType<typeof eventOf>[] = [];
function send(of: string, n: number): Promise<unknown> {
  if (next.push(eventOf(of, n)) === 1) {
    sending = sending.then(() => {
      const events = next;
      next = [];
      return server.rotor.send(events);
    });
  }
  return sending;
}

/** Waits four times for what `before` has made somebody send; whatever came beside those four is taken for a fifth. */
async function fourWaits(step: Step, of: string, before: (n: number) => unknown): Promise<(number | null)[]> {
  const wait = (timeout: "1m" | "30ms") => step.waitForEvent<Got>("w", { event: nameOf(of), match: { of }, timeout });
  const pair = async (n: number) => {
    await step.run("before", async () => void (await before(n)));
    return wait("1m");
  };
  const got = [await pair(0), await pair(1), ...(await Promise.all([pair(2), pair(3)])), await wait("30ms")];
  return got.map((one) => one?.n ?? null);
}

/** Starts the runs, and answers what each got: sorted, since what comes at once comes in any order. */
async function play(id: string, before: (of: string, n: number) => unknown): Promise<(number | null)[][]> {
  const fn = createFunction({ id, trigger: { event: `start.${id}` }, concurrency: 1_000 }, ({ event, step }) => {
    const { of } = event.data as { of: string };
    return fourWaits(step, of, (n) => before(of, n));
  });
  await faultyApp(server, id, [fn]);
  const events = await server.rotor.send(all.map((n) => ({ name: `start.${id}`, data: { of: `${id} ${n}` } })));
  return Promise.all(
    events.map(async ({ runs }) => {
      const got = await server.rotor.runs.result<(number | null)[]>(runs[0]!, { timeout: "4m" });
      return [...got.slice(0, PAIRS).sort(), ...got.slice(PAIRS)];
    }),
  );
}

const EACH_ONCE = all.map(() => [...nth, null]);

test(
  "of 1,000 pairs whose event is stored before the wait begins, none is missed or doubled",
  async () => {
    expect(await play("before", send)).toEqual(EACH_ONCE);
  },
  MOST_MS,
);

test(
  "of 1,000 pairs whose event comes while the wait is being stored, none is missed or doubled",
  async () => {
    const sent: Promise<unknown>[] = [];
    const soon = async (of: string, n: number) => {
      await inMs(Math.random() * 25);
      await send(of, n);
    };
    expect(await play("during", (of, n) => void sent.push(soon(of, n)))).toEqual(EACH_ONCE);
    await Promise.all(sent);
  },
  MOST_MS,
);

const waiting = sql(
  "test.waiting-pairs",
  `select convert_from(payload.body, 'UTF8')::jsonb -> 'data' ->> 'of' as of, count(*)::int as waits
     from rotor.steps step join rotor.payloads payload on payload.job_id = step.job_id
    where step.kind = 'event' and step.state = 'waiting' and step.due_at > rotor.clock() + interval '10 seconds' group by 1`,
);

test(
  "of 1,000 pairs whose event comes when the wait has been stored, none is missed or doubled",
  async () => {
    /** Run → events that it has been sent. */
    const sent = new Map<string, number>();
    const answered = play("after", () => undefined);
    await eventually(
      "every event sent to a wait that was stored",
      async () => {
        const rows = await server.db.query<{ of: string; waits: number }>(waiting);
        const events = rows.flatMap(({ of, waits }) => {
          const first = sent.get(of) ?? 0;
          // One at a time while they come one after the other; the last two for two waits that are both stored.
          if (first === 2 && waits < 2) return [];
          const due = first === 2 ? [2, 3] : first < 2 ? [first] : [];
          sent.set(of, first + due.length);
          return due.map((n) => send(of, n));
        });
        await Promise.all(events);
        return sent.size === RUNS && [...sent.values()].every((count) => count === PAIRS);
      },
      MOST_MS,
    );
    expect(await answered).toEqual(EACH_ONCE);
  },
  MOST_MS,
);
