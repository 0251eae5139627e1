/** Why does it not move? A row a reason, through the API on a real store: what is said, and that what is told to do helps. */
import { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import type { Db } from "../store/db.js";
import { registerNode } from "../store/nodes.js";
import { notYet, publishOne, settleOne, waitFor, waitForAny } from "../testing-kit/fixtures.js";
import { createApp } from "./app.js";
import { createApiKey, SCOPES } from "./auth.js";
import type { TestApi } from "./testing-kit/api.js";
import { clientApi } from "./testing-kit/client.js";
import { type WhyKit, whyKit } from "./testing-kit/why-kit.js";
import { whyRows } from "./testing-kit/why-rows.js";

let api: TestApi;
let db: Db;
let rotor: Rotor;
let kit: WhyKit;

beforeAll(async () => {
  const client = await clientApi();
  ({ api, rotor } = client);
  ({ db } = api.database);
  kit = whyKit(client);
});
beforeEach(async () => {
  await api.database.shiftClock(0);
  await db.script("delete from rotor.nodes");
  await registerNode(db, newId(), "test");
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

describe("asked why, with a command that helps where there is one:", () => {
  test.each(Object.entries(whyRows))("%s", async (_name, arrange) => {
    const told = await arrange(kit);
    const why = await rotor.jobs.why(told.id);
    expect(why).toMatchObject({ id: told.id, state: told.state ?? "waiting", reason: told.reason, nearMisses: [] });
    expect(why.sentence).toMatch(told.sentence);
    expect(why.unblock).toEqual(told.unblock);
    expect(why.blockedBy.map((holder) => holder.id)).toEqual(told.blockedBy ?? []);
    if (told.untilMs === null) expect(why.until).toBeNull();
    else {
      // A rate's parts make it up to a twentieth longer.
      const ms = Date.parse(why.until!) - Date.now();
      expect(ms).toBeGreaterThan(told.untilMs * 0.95 - 5_000);
      expect(ms).toBeLessThan(told.untilMs * 1.06 + 5_000);
    }
    if (why.since !== null) expect(Date.parse(why.since)).toBeLessThan(Date.now() + 5_000);
    if (told.help === undefined) return;
    await told.help();
    const { queue, kind } = await whereIs(told.id);
    expect((await kit.claimed(kind, queue)).map((job) => job.jobId)).toContain(told.id);
    expect(await rotor.jobs.why(told.id)).toMatchObject({ state: "active", reason: null });
  });
});

/** The queue of a job, or function of a run. */
async function whereIs(id: string): Promise<{ queue: string; kind: "callback" | "function" }> {
  const { rows: found } = await db.script(
    `select queue.name as queue, queue.kind from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id where job.id = '${id}'`,
  );
  return found[0];
}

describe("a wait for an event tells what came near:", () => {
  const waiting = async (match: string | Record<string, string>) => {
    const { id, holder } = await kit.runOf();
    const event = kit.newName();
    await settleOne(db, holder, notYet([waitFor("w", event, { match })]));
    return { id, event };
  };

  test("the values that differ from an object, the newest event first, and those of user data as they are", async () => {
    const { id, event } = await waiting({ contactId: "c1", "deep.plan_name": "pro" });
    await publishOne(db, event, { contactId: "c2", deep: { plan_name: "pro" } });
    await publishOne(db, event, { deep: { plan_name: { snake_case: 1 } } });
    const { nearMisses, sentence } = await rotor.jobs.why(id);
    expect(nearMisses.map(({ differences }) => differences)).toEqual([
      [
        { path: "contactId", wanted: "c1", found: null },
        { path: "deep.plan_name", wanted: "pro", found: { snake_case: 1 } },
      ],
      [{ path: "contactId", wanted: "c1", found: "c2" }],
    ]);
    expect(sentence).toMatch(/2 of the last events of that name did not match\.$/);
  });

  test("the equalities of an expression, or all of it where it has none", async () => {
    const equal = await waiting(`data.contactId == "c1"`);
    await publishOne(db, equal.event, { contactId: "c2" });
    expect((await rotor.jobs.why(equal.id)).nearMisses).toMatchObject([
      { differences: [{ path: "contactId", wanted: "c1", found: "c2" }] },
    ]);
    const other = await waiting("data.amount > 100");
    await publishOne(db, other.event, { amount: 5 });
    expect((await rotor.jobs.why(other.id)).nearMisses).toMatchObject([
      { differences: [{ path: "data.amount > 100", wanted: true, found: false }] },
    ]);
  });

  test("each part of a wait for several things with its own, though they wait for one name", async () => {
    const { id, holder } = await kit.runOf();
    const [one, two] = [kit.newName(), kit.newName()];
    const parts = [
      { name: "first", event: one, match: "data.of == trigger.data.of" },
      { name: "second", event: one, match: { id: 2 } },
      { name: "third", event: two, match: { id: 3 } },
      { name: "signal", signal: `${id}/s` },
    ];
    await settleOne(db, holder, notYet([waitForAny("w", parts)]));
    await publishOne(db, one, { id: 1 });
    await publishOne(db, two, { id: 2 });
    const { nearMisses, sentence } = await rotor.jobs.why(id);
    expect(nearMisses).toMatchObject([
      { part: "third", differences: [{ path: "id", wanted: 3, found: 2 }] },
      { part: "first", differences: [{ path: "data.of == trigger.data.of", wanted: true, found: false }] },
      { part: "second", differences: [{ path: "id", wanted: 2, found: 1 }] },
    ]);
    expect(sentence).toMatch(/3 of the last events of those names did not match\.$/);
  });

  test("of the last 20 events", async () => {
    const { id, event } = await waiting({ contactId: "c1" });
    for (let n = 0; n < 22; n++) await publishOne(db, event, { contactId: n });
    const { nearMisses } = await rotor.jobs.why(id);
    expect(nearMisses.map(({ differences }) => differences[0]!.found)).toEqual(
      Array.from({ length: 20 }, (_, n) => 21 - n),
    );
  });
});

test("where the database belongs to another environment, that is why", async () => {
  const { id } = await kit.jobOf();
  const app = createApp({ ...api.engine, isHeld: () => true }, { log: { error: () => undefined } });
  const { key } = await createApiKey(db, "default", "held", SCOPES);
  const held = new Rotor({
    apiKey: key,
    baseUrl: "http://rotor.test",
    fetch: async (url, init) => app.request(url as string, init),
  });
  expect(await held.jobs.why(id)).toMatchObject({
    reason: "queued",
    sentence: expect.stringContaining("belongs to another environment"),
    unblock: ["rotor adopt --release"],
  });
});

test("another workspace's job, and one that is not there, are 404", async () => {
  const { id } = await kit.jobOf();
  const other = await api.as("other");
  expect((await other("GET", `/v1/jobs/${id}/why`)).status).toBe(404);
  await expect(rotor.jobs.why(newId())).rejects.toMatchObject({ status: 404 });
  await expect(rotor.jobs.why("no-uuid")).rejects.toMatchObject({ status: 404 });
});
