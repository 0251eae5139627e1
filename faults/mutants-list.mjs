// Bugs to plant, each in a copy of what is built, with the scenario that must find it and what it must say. The text to be changed
// is named exactly; where the product has changed so that it is not there any more, the mutant fails loudly and wants to be written anew.

const server = (file) => `packages/server/dist/${file}.js`;

/** Options of a short storm, by name. */
export const SCENES = {
  /** Nothing goes wrong: the planted bug alone. */
  calm: { name: "storm", values: { calm: true, seconds: "10", rate: "30", batched: "40", quiesce: "12" } },
  /** Every delivery breaks off now and then, and the app goes on with what it had in hand, beside who does it again. */
  treks: {
    name: "storm",
    values: { only: "cut app", seconds: "16", intensity: "3", rate: "3", batched: "0", kinds: "trek", quiesce: "30" },
  },
  kills: {
    name: "storm",
    values: { only: "kill", seconds: "10", rate: "20", batched: "0", kinds: "slow,ok,sequence", quiesce: "15" },
  },
  /** Many that want what few may have, and claims that stay open for so long that they meet. */
  crowd: {
    name: "storm",
    values: {
      calm: true,
      seconds: "12",
      rate: "12",
      batched: "0",
      kinds: "crowded",
      armed: "claim-plain.take.before=delay(150)/1",
      quiesce: "30",
    },
  },
  /** Rows that users insert themselves, and nothing else. */
  rows: {
    name: "storm",
    values: { calm: true, seconds: "8", rate: "10", batched: "0", kinds: "inbox", quiesce: "12" },
  },
  /** Queues whose jobs share keys, and claims that stay open for so long that they meet. */
  keys: {
    name: "storm",
    values: {
      calm: true,
      seconds: "14",
      rate: "9",
      batched: "0",
      kinds: "keyed",
      armed: "claim.lock.before=delay(150)/1",
      quiesce: "30",
    },
  },
  /** Commits whose replies are lost. */
  replies: {
    name: "storm",
    values: {
      only: "lost replies",
      seconds: "12",
      intensity: "12",
      rate: "40",
      batched: "0",
      kinds: "ok,sequence,parallel",
      quiesce: "12",
    },
  },
  /** The same with jobs that fail at first: who repeats how an attempt ended finds the next one under way. */
  repeats: {
    name: "storm",
    values: {
      only: "lost replies",
      seconds: "14",
      intensity: "12",
      rate: "12",
      batched: "0",
      kinds: "stubborn",
      quiesce: "25",
    },
  },
  clock: {
    name: "storm",
    values: {
      only: "clock",
      seconds: "14",
      intensity: "10",
      rate: "20",
      batched: "0",
      kinds: "ok,sequence",
      quiesce: "12",
    },
  },
  restarts: {
    name: "storm",
    values: { only: "restart", seconds: "10", intensity: "10", rate: "20", batched: "0", kinds: "slow", quiesce: "15" },
  },
  /** Events and signals that come at any moment about the beginning of a wait. */
  waits: {
    name: "storm",
    values: { calm: true, seconds: "10", rate: "40", batched: "0", kinds: "waiter,signalled", quiesce: "6" },
  },
  cron: { name: "cron", values: { seconds: "12", calm: true } },
};

const mutant = (name, scene, found, ...edits) => ({
  name,
  scene,
  found,
  edits: edits.map(([file, find, put]) => ({ file: server(file), find, put })),
});

export const MUTANTS = [
  mutant(
    "an answer to an old delivery is accepted",
    "repeats",
    ["wrong", "doubled", "stuck"],
    ["store/settle", 'job?.state === "active" && job.delivery === item.delivery', 'job?.state === "active"'],
    ["store/settle", "where job.id = item.id and job.delivery = item.delivery and", "where job.id = item.id and"],
    ["store/quick-settle", "where job.delivery = item.delivery and (job.state", "where (job.state"],
  ),
  mutant(
    "a checkpoint of an old delivery is accepted",
    "treks",
    ["doubled", "wrong"],
    ["store/quick-checkpoint", "where job.delivery = item.delivery and", "where"],
    ["store/checkpoint", "held.get(item.jobId)?.delivery === item.delivery", "true"],
    ["store/checkpoint", 'job.state !== "active" || job.delivery !== item.delivery', 'job.state !== "active"'],
  ),
  mutant(
    "a claim does not lock its queues",
    "crowd",
    ["overlap"],
    [
      "store/claim",
      "from rotor.queues where id = any($1::int[]) order by id for no key update skip locked",
      "from rotor.queues where id = any($1::int[]) order by id",
    ],
    ["store/claim-plain", "order by id for no key update skip locked) queue", "order by id) queue"],
  ),
  mutant(
    "a claim does not lock its keys",
    "keys",
    ["overlap"],
    ["store/keys", "order by key.id for no key update of key", "order by key.id"],
  ),
  mutant(
    "a dead node's work is left where it is",
    "kills",
    ["stuck", "late"],
    ["loops/rescuer", "const rescued = await rescueDead(db);", "const rescued = undefined;"],
  ),
  mutant(
    "the living are taken for dead",
    "calm",
    ["doubled", "wrong"],
    [
      "store/rescue",
      "where lease_until <= rotor.clock() order by lease_until",
      "where lease_until <= rotor.clock() + interval '4900 milliseconds' order by lease_until",
    ],
  ),
  mutant(
    "one job in twenty is answered and not stored",
    "calm",
    ["lost"],
    [
      "engine",
      "const result = await enqueuer.write(job);",
      'const result = Math.random() < 0.05 ? { id: job.id, state: "waiting", duplicate: false } : await enqueuer.write(job);',
    ],
  ),
  mutant(
    "one delivery in twenty is made twice",
    "calm",
    ["doubled"],
    [
      "loops/dispatcher",
      "const carried = await options.carry(job, history, stop);",
      "if (Math.random() < 0.05) await options.carry(job, history, stop);\nconst carried = await options.carry(job, history, stop);",
    ],
  ),
  mutant(
    "Retry-After is not heard",
    "calm",
    ["early"],
    ["core/job", "const delayMs = retryAfterMs === undefined", "const delayMs = true"],
  ),
  mutant(
    "there is no back-off",
    "calm",
    ["early"],
    ["core/backoff", "return Math.round(backoff.jitter", "return 0 * Math.round(backoff.jitter"],
  ),
  mutant(
    "no answer in time is a success",
    "calm",
    ["wrong"],
    [
      "loops/courier",
      "end: endWithoutAnswer(result, job.timeoutMs), status: null",
      'end: result.kind === "timed-out" ? { kind: "done", output: null } : endWithoutAnswer(result, job.timeoutMs), status: null',
    ],
  ),
  mutant(
    "a second attempt is not signed by the queue's key",
    "calm",
    ["ghost"],
    [
      "loops/courier",
      "queueHeaders,\n            secrets,",
      'queueHeaders,\n            secrets: job.attempt > 1 ? ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] : secrets,',
    ],
  ),
  mutant(
    "a node signs by its own clock",
    "clock",
    ["ghost"],
    ["loops/lease", "now: () => dayAt + performance.now(),", "now: () => Date.now(),"],
  ),
  mutant(
    "a job that is being delivered cannot be cancelled",
    "calm",
    ["wrong"],
    [
      "store/control",
      "(job.state in ('pending_approval', 'waiting') or ($2 and job.state = 'active'))",
      "job.state in ('pending_approval', 'waiting') and $2 = $2",
    ],
  ),
  mutant(
    "a cancelled job is tried again",
    "calm",
    ["wrong", "doubled", "stuck"],
    ["store/settle", 'job?.state === "active" && job.delivery', "job !== undefined && job.delivery"],
    ["store/settle", "job.delivery = item.delivery and (job.state || '') = 'active'", "job.delivery = item.delivery"],
  ),
  mutant(
    "there is one attempt more than the most",
    "calm",
    ["doubled"],
    ["core/job", "if (attempt >= policy.maxAttempts)", "if (attempt > policy.maxAttempts)"],
  ),
  mutant(
    "a sleep takes a quarter of its time",
    "calm",
    ["early"],
    [
      "store/step-rows",
      ': { ...base, state: "waiting", delayMs: report.delay_ms };',
      ': { ...base, state: "waiting", delayMs: report.delay_ms / 4 };',
    ],
  ),
  mutant("a delay is not kept", "calm", ["early"], ["store/enqueue", "else kept.run_at end,", "else clock.now end,"]),
  mutant(
    "a wait does not look back",
    "waits",
    ["stuck"],
    [
      "store/look-back",
      "if (found === undefined)\n        return false;\n    await endWaits",
      "if (found !== null)\n        return false;\n    await endWaits",
    ],
  ),
  mutant(
    "a signal that came early is not looked for",
    "waits",
    ["stuck"],
    ["store/look-back", "await earliestSignal(t, run, parts)]", "undefined]"],
  ),
  mutant(
    "a child's end wakes nobody",
    "calm",
    ["stuck"],
    [
      "store/finish",
      "const children = finished.filter((entry) => parents.has(entry.jobId) || entry.shared);",
      "const children = [];",
    ],
  ),
  mutant(
    "a failure is not logged",
    "calm",
    ["stuck"],
    [
      "store/settle",
      "moves.filter((each) => each.logged)",
      'moves.filter((each) => each.logged && each.outcome.state !== "failed")',
    ],
  ),
  mutant(
    "a client's id is not kept",
    "replies",
    ["ghost"],
    [
      "store/enqueue",
      "sparse(jobs, (job) => job.key)",
      "sparse(jobs, (job) => (job.key == null ? null : `${job.key}${Math.random()}`))",
    ],
  ),
  mutant(
    "what a node holds is not compared to what it knows",
    "replies",
    ["stuck"],
    ["loops/dispatcher", "await holdings.compare();", ""],
  ),
  mutant(
    "a body without an end is read to its end",
    "calm",
    ["stuck", "wrong"],
    ["delivery/deliver", "if (this.#body.truncated)\n            this.#answered();", ""],
  ),
  mutant(
    "a delivery has no time limit, and what is past it is not taken back",
    "calm",
    ["stuck"],
    ["delivery/deliver", "this.#total = setTimeout(() => this.#onTotalLimit(), this.#request.timeoutMs);", ""],
    ["loops/rescuer", "(await expireOverdue(db, Math.random))", "0"],
  ),
  mutant(
    "one row of the inbox in five is removed and not moved",
    "rows",
    ["lost"],
    [
      "store/inbox",
      'if (item.kind !== "job")\n            return [];',
      'if (item.kind !== "job" || Number(row.seq) % 5 === 0)\n            return [];',
    ],
  ),
  mutant(
    "nobody is asked for an approval",
    "calm",
    ["early", "wrong"],
    ["store/enqueue", "case when queue.approval_required then 'pending_approval' else 'waiting' end,", "'waiting',"],
  ),
  mutant(
    "a result that is stored is written over",
    "replies",
    ["wrong"],
    [
      "store/quick-checkpoint",
      "where step.state = 'waiting' and step.kind = 'run' and step.attempt < excluded.attempt",
      "where true",
    ],
  ),
  mutant(
    "an event's id is not kept",
    "replies",
    ["ghost"],
    [
      "store/publish",
      "events.map((event) => event.key),\n        events.map((event) => event.data),",
      "events.map((event) => `${event.key}${Math.random()}`),\n        events.map((event) => event.data),",
    ],
  ),
  mutant(
    "the last job of a batch is left out",
    "calm",
    ["lost"],
    [
      "engine",
      "const results = await enqueueAll(db, jobs);",
      "const results = [...(await enqueueAll(db, jobs.slice(0, -1)))];\nresults.push(results[0]);",
    ],
  ),
  mutant(
    "a body is another when it is delivered",
    "calm",
    ["wrong"],
    [
      "loops/courier",
      "const { jobId, body } = job;",
      'const { jobId } = job;\nconst body = Buffer.from(job.body.toString("latin1"));',
    ],
  ),
  mutant(
    "a node that is asked to stop does not wait for its work",
    "restarts",
    ["doubled"],
    ["engine", "dispatcher.drain(drainMs),", "dispatcher.drain(0),"],
  ),
  mutant(
    "a delivery is remembered for ever",
    "calm",
    ["leaked"],
    [
      "loops/dispatcher",
      "const carried = await options.carry(job, history, stop);",
      "(globalThis.remembered ??= []).push(Buffer.alloc(2_000_000, 1));\nconst carried = await options.carry(job, history, stop);",
    ],
  ),
  mutant(
    "a run's time limit does not end it",
    "calm",
    ["stuck"],
    [
      "store/deadlines",
      "where deadline_at <= rotor.clock() and due_at is not null",
      "where false and deadline_at <= rotor.clock() and due_at is not null",
    ],
  ),
  mutant(
    "what was accepted and never reported stays for ever",
    "calm",
    ["stuck"],
    ["loops/rescuer", "(await expireOverdue(db, Math.random))", "0"],
  ),
  mutant(
    "each node makes a tick of its own",
    "cron",
    ["doubled"],
    ["store/ticks", "order by next_at limit $2 for no key update skip locked", "order by next_at limit $2"],
    ["store/ticks", "where schedule.id = item.id and schedule.next_at = item.seen_at", "where schedule.id = item.id"],
    ["store/ticks", "key: `rotor:tick:${schedule.id}/${at.toISOString()}`", "key: `rotor:tick:${Math.random()}`"],
  ),
];
