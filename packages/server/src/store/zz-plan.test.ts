import { expect, test } from "vitest";
import { testDatabase } from "../testing-kit/database.js";
import { callbackQueue } from "../testing-kit/fixtures.js";
import { watch } from "./alerts.js";
import { createWebhook, getWebhook, updateWebhook } from "./webhooks.js";
test("plan", async () => {
  const database = await testDatabase();
  const { db } = database;
  for (let i = 0; i < 300; i++) await callbackQueue(db, `q${i}`);
  await createWebhook(db, "default", "ear", "http://127.0.0.1:9/");
  await updateWebhook(db, (await getWebhook(db, "default", "ear"))!, { url: "http://127.0.0.1:9/", headers: {}, types: ["*"] });
  await db.script(`
   insert into rotor.jobs (id, queue_id, state, due_at, blocked_on, key_id)
   select gen_random_uuid(), (select min(id) from rotor.queues), 'waiting', rotor.clock(), 1, 1 from generate_series(1, 300000);
   insert into rotor.jobs (id, queue_id, state, due_at)
   select gen_random_uuid(), (select min(id) from rotor.queues) + 1 + i % 200, 'waiting', rotor.clock() - interval '1 hour' + i * interval '1 ms' from generate_series(1, 300000) i;
   insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at)
   select id, queue_id, '1', 'a', rotor.clock(), rotor.clock() from rotor.jobs;
   update rotor.queues set keyed = true;`);
  for (let i = 0; i < 3; i++) {
  let t = performance.now();
  await watch(db);
  console.log("unanalyzed", performance.now() - t);
  }
  await db.script("analyze rotor.jobs; analyze rotor.payloads; analyze rotor.queues");
  for (let i = 0; i < 3; i++) {
  let t = performance.now();
  await watch(db);
  console.log("analyzed", performance.now() - t);
  }
  await database.close();
  expect(1).toBe(1);
}, 120_000);
