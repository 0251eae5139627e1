// `npm run bench:dashboard`: what people who look cost. A million jobs and as many finished runs' rows are stored; each question of the
// dashboard is asked some times, and its quickest answer counts; each page is opened in a Chromium, with nothing in its cache, until
// what it is about can be read. Then jobs are delivered with nobody looking and with ten
// dashboards open, in turn; the ratio counts. `--jobs N` stores fewer. Exit code 1 where a bar is missed.
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { bulk, drain } from "./jobs.mjs";
import { openStage, pause } from "./stage.mjs";

const { values } = parseArgs({
  options: { jobs: { type: "string", default: "1000000" }, rounds: { type: "string", default: "3" } },
});
const stored = Number(values.jobs);
const rounds = Number(values.rounds);
const QUEUES = 20;
const QUESTION_MS = 100;
const PAGE_MS = 1_000;
/** Of each page; the median counts. */
const OPENINGS = 5;
const DASHBOARDS = 10;
const LOSS = 0.05;

const stage = await openStage("dashboard");
const { client, schema, baseUrl, apiKey, rotor } = stage;
const headers = { authorization: `Bearer ${apiKey}` };

async function fill() {
  await client.query(
    `insert into ${schema}.queues (workspace_id, name, kind, url, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms, paused_at)
     select 'default', 'q' || n, case when n % 4 = 0 then 'function' else 'callback' end, 'http://127.0.0.1:9', 10, 1000, 1000, 3, '{}', 1000, now()
       from generate_series(1, ${QUEUES}) n`,
  );
  for (let from = 0; from < stored; from += 100_000) {
    await client.query(
      `with made as materialized (
         select n, queue.id as queue_id,
                (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 86400000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid as id,
                (array['waiting','waiting','failed','cancelled'])[n % 100 + 1] as state
           from generate_series(${from}, ${Math.min(stored, from + 100_000) - 1}) n
           join (select id, row_number() over (order by id) - 1 as place from ${schema}.queues where name like 'q%') queue on queue.place = n % ${QUEUES}),
       jobs as (
         insert into ${schema}.jobs (id, queue_id, state, due_at, delivery)
         select id, queue_id, coalesce(state, 'completed'), case when n % 100 = 0 then now() + interval '1 day' when n % 100 = 1 then now() end, 1 from made),
       payloads as (
         insert into ${schema}.payloads (job_id, queue_id, key, body, content_type, created_at, run_at, tags)
         select id, queue_id, 'key-' || n, convert_to('{"id":"' || id || '","name":"n","data":1,"ts":1}', 'UTF8'), 'application/json', now(), now(),
                case when n % 100000 = 7 then array['rare'] end from made),
       events as (
         insert into ${schema}.events (id, workspace_id, name, key, data, ts, received_at)
         select id, 'default', 'name-' || n % 50, id::text, '1', now(), now() from made)
       insert into ${schema}.deliveries (job_id, delivery, attempt, outcome, ended_at, duration_ms, error)
       select id, 1, 1, coalesce(state, 'completed'), now(), 5, case state when 'failed' then '{"name":"HttpError","message":"503"}' end from made`,
    );
  }
  for (const table of ["jobs", "payloads", "deliveries", "events"])
    await client.query(`vacuum analyze ${schema}.${table}`);
  // What loading left to be written is no part of what is measured.
  await client.query("checkpoint");
}

const PATHS = [
  "/v1/stats",
  "/v1/stats?window=24h",
  "/v1/runs?limit=100&brief=true",
  "/v1/runs?limit=100&brief=true&state=failed",
  "/v1/runs?limit=100&brief=true&state=waiting",
  "/v1/runs?limit=100&brief=true&state=active",
  "/v1/jobs?limit=100&brief=true",
  "/v1/jobs?limit=100&brief=true&state=cancelled",
  "/v1/jobs?limit=100&brief=true&state=failed",
  "/v1/queues/q1/jobs?limit=20&brief=true",
  "/v1/dlq?limit=100&brief=true",
  "/v1/approvals",
  "/v1/events?limit=100",
  "/v1/events?name=name-3&limit=100",
  "/v1/find?q=key-4711",
  "/v1/queues?limit=500",
  "/v1/functions?limit=500",
  "/v1/schedules?limit=500",
  "/v1/audit?limit=100",
];

/** The quickest of some answers: what is slower than that is this machine's other work. */
async function askAll() {
  const late = [];
  for (const path of PATHS) {
    let best = Number.POSITIVE_INFINITY;
    for (let n = 0; n < 5; n++) {
      // Figures that are kept for all who ask are asked for anew.
      if (path.startsWith("/v1/stats")) await pause(2_500);
      const begun = performance.now();
      const response = await fetch(baseUrl + path, { headers });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      best = Math.min(best, performance.now() - begun);
    }
    console.log(`${best.toFixed(1).padStart(8)} ms  ${path}`);
    if (best > QUESTION_MS) late.push(path);
  }
  return late;
}

/** Each page, and what of it shows that its data is there. */
const PAGES = [
  ["/", "main section"],
  ["/runs", "main [role=row] a"],
  ["/jobs", "main [role=row] a"],
  ["/dead-letters", "main [role=row] a"],
  ["/events", "main [role=row] a"],
  ["/queues", "main [role=row] a"],
  ["/queues/q1", "main h1"],
  ["/functions", "main [role=row] a"],
  ["/audit", "main [role=row] [role=cell]"],
];

/** From the address to what the page is about; the median of some. */
async function openPages() {
  const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(path)) {
    console.log(`there is no Chromium at ${path}: no page was opened`);
    return ["all pages"];
  }
  const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox", "--disable-gpu"] });
  const late = [];
  for (const [page, shown] of PAGES) {
    const times = [];
    for (let n = 0; n < OPENINGS; n++) {
      const context = await browser.newContext({ baseURL: baseUrl, viewport: { width: 1360, height: 860 } });
      const login = await context.request.post("/v1/session", {
        data: { key: apiKey },
        headers: { "x-rotor-csrf": "1", origin: new URL(baseUrl).origin },
      });
      if (!login.ok()) throw new Error(`no login: ${login.status()} ${await login.text()}`);
      const sight = await context.newPage();
      const begun = performance.now();
      await sight.goto(page, { waitUntil: "commit" });
      await sight.locator(shown).first().waitFor();
      times.push(performance.now() - begun);
      await context.close();
    }
    const ms = times.sort((a, b) => a - b)[OPENINGS >> 1];
    console.log(`${ms.toFixed(0).padStart(8)} ms  until ${page} is there`);
    if (ms > PAGE_MS) late.push(`page ${page}`);
  }
  await browser.close();
  return late;
}

/** What an open overview asks for, beside one that lists: the stream, and each view again every few seconds. */
function openDashboard() {
  const stop = new AbortController();
  const { signal } = stop;
  let isMuch = false;
  const follow = async () => {
    const response = await fetch(`${baseUrl}/v1/stream?brief=true`, { headers, signal });
    for await (const told of response.body) isMuch = Buffer.from(told).includes('"more":true');
  };
  const every = async (path, msOf) => {
    for (;;) {
      await (await fetch(baseUrl + path, { headers, signal })).arrayBuffer();
      await pause(msOf());
    }
  };
  const ended = (error) => {
    if (!signal.aborted) throw error;
  };
  follow().catch(ended);
  every("/v1/stats", () => 2_500).catch(ended);
  // As `api/live.ts` has it: a list in view is asked for every two seconds while something happens, less often while very much does.
  every("/v1/jobs?limit=100&brief=true", () => (isMuch ? 6_000 : 2_000)).catch(ended);
  return () => stop.abort();
}

const JOBS = 40_000;

/** Delivers some, to the end. CPU is what server and Postgres spent: it says more than the rate where others use the machine. */
async function deliver(name) {
  await rotor.queues.put(name, { callbackUrl: `${stage.appUrl}/callback`, concurrency: 200 });
  await rotor.queues.pause(name);
  await bulk(stage, name, JOBS);
  const before = (await stage.costs()).cpuMs;
  const rate = await drain(stage, name, JOBS);
  const after = (await stage.costs()).cpuMs;
  return { rate, cpuMs: (after.server + after.postgres - before.server - before.postgres) / JOBS };
}

console.log(`storing ${stored.toLocaleString("en")} jobs`);
await fill();
const late = [...(await askAll()), ...(await openPages())];

const alone = [];
const watched = [];
await deliver("warm");
for (let round = 0; round < rounds; round++) {
  alone.push(await deliver(`alone-${round}`));
  const close = Array.from({ length: DASHBOARDS }, openDashboard);
  await pause(500);
  watched.push(await deliver(`watched-${round}`));
  for (const each of close) each();
}
const median = (list, of) => list.map((each) => each[of]).sort((a, b) => a - b)[Math.floor(list.length / 2)];
const ratio = median(watched, "rate") / median(alone, "rate");
for (const [name, list] of [
  ["alone", alone],
  [`with ${DASHBOARDS} dashboards`, watched],
])
  console.log(
    `${Math.round(median(list, "rate"))} jobs/s, ${median(list, "cpuMs").toFixed(2)} ms of CPU a job, ${name}`,
  );
console.log(`× ${ratio.toFixed(3)} in jobs/s`);
await stage.close();
if (late.length > 0) console.log(`slower than ${QUESTION_MS} ms, or a page than ${PAGE_MS}: ${late.join(", ")}`);
if (ratio < 1 - LOSS) console.log(`more than ${LOSS * 100} % were lost`);
if (late.length > 0 || ratio < 1 - LOSS) process.exitCode = 1;
