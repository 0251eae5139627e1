-- Rotor's tables; long, since it is all of them before the first release. `rotor.` stands for the configured schema; it
-- is put in once, when the server starts.
--
-- What moves is narrow, what is wide never moves: `jobs` is the only row that changes with every transition and has no
-- JSON; payloads, deliveries and events are inserted once. There are no foreign keys on the hot tables: the check costs
-- a row lock for each insert, and rows are deleted by the pruner only.

-- The only clock. Tests replace it, so that every connection and process jumps together.
create function rotor.clock() returns timestamptz language sql stable parallel safe
  as 'select clock_timestamp()';

create table rotor.settings (
  name  text primary key,
  value text not null
);

create table rotor.workspaces (
  id         text primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  name       text not null,
  created_at timestamptz not null default rotor.clock()
);

-- API keys. Only the SHA-256 of a key is kept: it has 256 random bits, so a slow hash would add nothing.
create table rotor.api_keys (
  id           uuid primary key,
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  name         text not null,
  hash         bytea not null unique,
  scopes       text[] not null,
  created_at   timestamptz not null default rotor.clock(),
  expires_at   timestamptz,
  revoked_at   timestamptz
);

-- Values that a queue's URL and headers may name as ${{ secrets.NAME }}; sealed, written and never read back.
create table rotor.secrets (
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  name         text not null check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,63}$'),
  sealed       text not null,
  created_at   timestamptz not null default rotor.clock(),
  updated_at   timestamptz not null default rotor.clock(),
  primary key (workspace_id, name)
);

-- One row a running server. A row past its lease is dead: whoever deletes it gives its jobs back.
create table rotor.nodes (
  id          uuid primary key,
  label       text not null,
  started_at  timestamptz not null,
  lease_until timestamptz not null
);

-- An app is a process (or many alike) behind one URL that serves functions.
create table rotor.apps (
  id                int generated always as identity primary key,
  workspace_id      text not null references rotor.workspaces (id) on delete cascade,
  name              text not null,
  url               text not null,
  hash              text not null,
  synced_at         timestamptz not null,
  unreachable_since timestamptz,
  unique (workspace_id, name),
  unique (workspace_id, url)
);

-- A queue says where its jobs go, how many at a time, and what a failure means. A function is a queue with triggers.
create table rotor.queues (
  id                  int generated always as identity primary key,
  workspace_id        text not null references rotor.workspaces (id) on delete cascade,
  app_id              int references rotor.apps (id) on delete cascade,
  name                text not null,
  kind                text not null check (kind in ('callback', 'function')),
  url                 text,                                -- null: jobs wait, reason no_url
  headers             jsonb not null default '{}',
  concurrency         int check (concurrency > 0),         -- null: no limit
  timeout_ms          int not null check (timeout_ms > 0), -- of one delivery, total
  async_timeout_ms    int not null check (async_timeout_ms > 0),
  max_attempts        int not null check (max_attempts > 0),
  backoff             jsonb not null,
  approval_required   boolean not null default false,
  approval_timeout_ms bigint not null,
  standard_webhooks   boolean not null default false,
  strict_concurrency  boolean not null default false,      -- a slot is free only when the endpoint answered, or its limit passed
  retention           jsonb not null default '{}',         -- by state, in ms; what is not in it follows the system's
  breaker             jsonb,                               -- { failures, minMs, maxMs }; null: none, but for an app out of reach
  failures            int not null default 0,              -- of its endpoint in a row, where there is a breaker
  trips               int not null default 0,              -- times in a row that its breaker opened
  open_at             timestamptz not null default '-infinity', -- not visited before: its breaker is open
  rate_limit          int check (rate_limit > 0),          -- deliveries in any rate_period_ms; null: no limit
  rate_period_ms      bigint check (rate_period_ms > 0),
  rate_key            text,                                -- CEL: each value has the limit to itself, by a row of `keys`
  rate_open_at        timestamptz not null default '-infinity', -- not visited before: the limit is used up
  rate_bucket         bigint,                              -- see core/rate.ts: the part of time that the last count is of
  rate_counts         int[] not null default '{}',         -- deliveries begun in each of the last parts, the newest last
  keyed               boolean not null default false,      -- a job with a key was enqueued here: claims look at keys
  system              text check (system in ('webhook', 'inbox')), -- made by Rotor: not listed, not a user's to change
  paused_at           timestamptz,
  created_at          timestamptz not null default rotor.clock(),
  unique (workspace_id, kind, name),
  check ((rate_limit is null) = (rate_period_ms is null))
);

-- Signing keys of a workspace, or of one queue, sealed. More than one is active while a rotation overlaps. Ended ones stay:
-- a server that is started with one of them must know it as old, not take it for a stranger's.
create table rotor.signing_keys (
  id           uuid primary key,
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  queue_id     int references rotor.queues (id) on delete cascade, -- a queue's own secret; null: the workspace's
  sealed       text not null,
  created_at   timestamptz not null default rotor.clock(),
  expires_at   timestamptz                                         -- signs until then
);

create index signing_keys_owner on rotor.signing_keys (workspace_id);
create index signing_keys_queue on rotor.signing_keys (queue_id) where queue_id is not null;

-- What jobs share beyond their queue, and the row to lock for it. `turn`: a concurrency key of the workspace, so many
-- active jobs at a time over all queues. `rate`: one value of a queue's rate_key.
create table rotor.keys (
  id           int generated always as identity primary key,
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  kind         text not null check (kind in ('turn', 'rate')),
  queue_id     int not null default 0,               -- of a rate key; 0: the workspace's
  key          text not null,
  concurrency  int not null default 1 check (concurrency > 0),
  open_at      timestamptz,                          -- rate: when jobs that it blocks may go on; null: it blocks none
  rate_bucket  bigint,
  rate_counts  int[] not null default '{}',
  created_at   timestamptz not null default rotor.clock(),
  seen_at      timestamptz not null default rotor.clock(), -- a job had it then, or up to a day later
  unique (workspace_id, kind, queue_id, key)
);

create index keys_open on rotor.keys (open_at) where open_at is not null;

-- The row that moves. Every unfinished job has a due time: stuck for ever is not a state that can be stored.
create table rotor.jobs (
  id           uuid primary key,
  queue_id     int not null,
  parent_id    uuid,                            -- the run that started it and may wait for it
  key_id       int,                             -- its concurrency key
  rate_key_id  int,                             -- its value of the queue's rate_key
  blocked_on   int,                             -- the key that it waits for: not in the index of what is due
  node_id      uuid,                            -- who delivers it; null while nobody does, or once accepted by a 202
  due_at       timestamptz,                     -- waiting: claim from then; active: its limit; finished: null
  held_at      timestamptz,                     -- a run whose code diverged: only resume or cancel moves it
  state        text not null,
  delivery     int not null default 0,          -- number of deliveries begun; the fence
  attempt      int not null default 0,          -- deliveries that count towards max_attempts
  rescues      int not null default 0,          -- times in a row that its node died
  max_attempts int,                             -- null: the queue's
  timeout_ms   int,                             -- null: the queue's
  woken        boolean not null default false,  -- a wait ended while it was active
  keeps_turn   boolean not null default false,  -- key_order strict: between its attempts, too, others of its key wait
  check (blocked_on is null or state = 'waiting'),
  check (state in ('pending_approval', 'waiting', 'active', 'completed', 'failed', 'cancelled')),
  check ((due_at is null) = (state in ('completed', 'failed', 'cancelled'))),
  check (node_id is null or state = 'active'),
  check (held_at is null or state = 'waiting')
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

create index jobs_due on rotor.jobs (queue_id, due_at) where state = 'waiting' and blocked_on is null;
create index jobs_active on rotor.jobs (queue_id, due_at) where state = 'active';
-- What waits for a human; tiny, and no other job has an entry.
create index jobs_patient on rotor.jobs (due_at) where state = 'pending_approval' or held_at is not null;

-- Who has a turn of a key; who may ask for one; who waits for it. Jobs without a key have no entry.
create index jobs_turns on rotor.jobs (key_id)
  where key_id is not null and (state = 'active' or (state = 'waiting' and keeps_turn and delivery > 0 and blocked_on is distinct from key_id));
create index jobs_keyed on rotor.jobs (key_id, due_at) where key_id is not null and state = 'waiting' and blocked_on is null;
create index jobs_blocked on rotor.jobs (blocked_on, queue_id, due_at) where blocked_on is not null;

-- Slots of a queue with strict_concurrency whose job is not active any more although its endpoint may be at work still:
-- its node died, its connection broke, it was cancelled. Counted until the delivery's time limit has passed.
create table rotor.slots (
  job_id   uuid not null,
  delivery int not null,
  queue_id int not null,
  key_id   int,
  until    timestamptz not null,
  primary key (job_id, delivery)
);

create index slots_queue on rotor.slots (queue_id, until);
create index slots_key on rotor.slots (key_id, until) where key_id is not null;

-- The dead letters. No other job has an entry, so that it costs nothing but when one fails.
create index jobs_failed on rotor.jobs (queue_id, id) where state = 'failed';

-- What was enqueued, inserted once, beside what lists need.
create table rotor.payloads (
  job_id       uuid primary key,
  queue_id     int not null,
  key          text,                  -- the client's job_id; keys of ours begin with `rotor:`
  body         bytea not null,        -- a callback's payload byte for byte; a run's event as JSON
  content_type text not null,
  created_at   timestamptz not null,
  run_at       timestamptz not null,  -- when it was to start, as enqueued
  headers      jsonb,
  tags         text[],
  event_id     uuid,                  -- the event that started this run
  replay_of    uuid
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.05);

create unique index payloads_key on rotor.payloads (queue_id, key) where key is not null;
create index payloads_list on rotor.payloads (queue_id, job_id);
create index payloads_event on rotor.payloads (event_id) where event_id is not null;

-- One row a delivery that ended: log, outcome and output. A finished job's last row bears the number in jobs.delivery.
create table rotor.deliveries (
  job_id      uuid not null,
  delivery    int not null,
  attempt     int not null,
  outcome     text not null,
  status      int,
  ended_at    timestamptz not null,
  duration_ms int not null,
  output      text,
  error       text,
  detail      text,        -- JSON: heads of request and response, times of the parts of the call
  primary key (job_id, delivery)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.05);

create sequence rotor.step_seq;

-- A step of a run. An unfinished one is a wait: it has a due time and, perhaps, a key by which somebody ends it sooner.
create table rotor.steps (
  job_id      uuid not null,
  key         text not null,
  kind        text not null check (kind in ('run', 'sleep', 'event', 'signal', 'invoke', 'enqueue', 'send')),
  state       text not null check (state in ('waiting', 'completed', 'failed', 'dropped')),
  attempt     int not null default 1,
  seq         bigint,       -- place among the results of its run: the order in which a replay resolves
  due_at      timestamptz,  -- waiting: the timeout, the wake time, the end of the back-off
  wait_key    uuid,         -- hash of what ends it sooner; see core/wait-key.ts
  wait        jsonb,        -- what it waits for, as asked
  asked_at    timestamptz,
  asked       int,          -- place among the waits stored together with it
  event_id    uuid,         -- the event that ended it: consumed, for this run
  ended_at    timestamptz,  -- a run step: when recorded; an event: when received; a sleep or timeout: when due
  duration_ms int,
  output      text,
  error       text,
  primary key (job_id, key),
  check ((due_at is not null) = (state = 'waiting')),
  check ((seq is not null) = (state in ('completed', 'failed'))),
  check (wait_key is null or state = 'waiting')
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create index steps_waiting on rotor.steps (job_id) where state = 'waiting';
create index steps_wait_key on rotor.steps (wait_key) where wait_key is not null;
create index steps_event on rotor.steps (event_id) where event_id is not null;
-- A signal id has one waiter.
create unique index steps_signal on rotor.steps (wait_key) where kind = 'signal' and wait_key is not null;

-- Steps of a failed run that was retried: their keys are free again, their story is kept.
create table rotor.past_steps (
  job_id   uuid not null,
  key      text not null,
  delivery int not null,
  attempt  int not null,
  error    text,
  ended_at timestamptz,
  primary key (job_id, key, delivery)
);

-- Append-only but for the cursor of a fan-out that did not fit one commit.
create table rotor.events (
  id           uuid primary key,
  workspace_id text not null,
  name         text not null,
  key          text not null,         -- the sender's id: an event is published once
  data         text not null,
  ts           timestamptz not null,  -- the sender's time
  received_at  timestamptz not null,  -- read under the name's lock: time order is commit order for a name
  cursor       text,                  -- last waiting step seen
  due_at       timestamptz            -- not null: effects are left
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.05);

create unique index events_key on rotor.events (workspace_id, key);
create index events_name on rotor.events (workspace_id, name, received_at);
create index events_due on rotor.events (due_at) where due_at is not null;

create table rotor.triggers (
  queue_id     int not null references rotor.queues (id) on delete cascade,
  workspace_id text not null,
  event_name   text not null,
  condition    text,
  place        int not null,   -- in its function's list: one event may have two conditions
  primary key (queue_id, place)
);

create index triggers_event on rotor.triggers (workspace_id, event_name);

create table rotor.schedules (
  id           int generated always as identity primary key,
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  queue_id     int not null references rotor.queues (id) on delete cascade,
  name         text not null,
  cron         text not null,
  timezone     text not null,
  body         bytea not null,
  content_type text not null,
  overlap      text not null default 'allow' check (overlap in ('allow', 'skip')),
  catch_up     text not null default 'last' check (catch_up in ('none', 'last', 'all')),
  owned        boolean not null default false,  -- made by a function's cron trigger; goes with it
  paused_at    timestamptz,
  next_at      timestamptz not null,
  last_at      timestamptz,
  last_job_id  uuid,                            -- what its last tick enqueued
  -- Ticks that enqueued nothing, and the last of them: the job before was not finished; catch_up did not make up for it.
  skipped      int not null default 0,
  skipped_at   timestamptz,
  missed       int not null default 0,
  missed_at    timestamptz,
  unique (workspace_id, name)
);

create index schedules_next on rotor.schedules (next_at) where paused_at is null;

-- The third door: rows that people insert in transactions of their own, moved through the same code soon after.
create table rotor.inbox (
  seq          bigint generated always as identity primary key,
  workspace_id text not null default 'default',
  kind         text not null,               -- 'job' or 'event'
  target       text not null,               -- the queue's, or the event's, name
  id           text,                        -- the job_id, or the event's id
  payload      json,                        -- json, not jsonb: it keeps its text
  options      jsonb not null default '{}',
  inserted_at  timestamptz not null default clock_timestamp(),
  -- As much as the HTTP API takes. Whoever inserts more is told by his own statement, while he still has it in hand.
  constraint inbox_payload_of_1_mib check (octet_length(payload::text) <= 1048576),
  constraint inbox_row_of_64_kib check (octet_length(workspace_id || kind || target || coalesce(id, '') || options::text) <= 65536)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);

-- Who wants to be told of what. Its deliveries are jobs of a queue of its own.
create table rotor.webhooks (
  id           uuid primary key,
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  name         text not null,
  queue_id     int not null references rotor.queues (id) on delete cascade,
  types        text[] not null,             -- '*' for all
  created_at   timestamptz not null default rotor.clock(),
  unique (workspace_id, name)
);

-- What is wrong now, and was told; its row goes when it is told that it recovered.
create table rotor.alerts (
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  type         text not null,
  subject      text not null,
  since        timestamptz not null,
  primary key (workspace_id, type, subject)
);

-- Jobs that a person said yes to; a no is in the log. Goes with its job.
create table rotor.approvals (
  job_id       uuid primary key references rotor.jobs (id) on delete cascade,
  workspace_id text not null,
  reason       text,
  decided_at   timestamptz not null
);

create index approvals_list on rotor.approvals (workspace_id, job_id);

-- How deliveries of a queue went, by minute, as its nodes saw it; kept for minutes, and only where a webhook is told.
create table rotor.tallies (
  queue_id int not null references rotor.queues (id) on delete cascade,
  at       timestamptz not null,
  ended    int not null,
  failed   int not null,
  primary key (queue_id, at)
);

-- Who did what to whom. Only ever appended to; the pruner removes what is older than its retention.
create table rotor.audit_events (
  id           uuid primary key,
  workspace_id text not null,
  at           timestamptz not null default rotor.clock(),
  actor        text not null,
  action       text not null,
  subject      text not null,
  details      jsonb not null default '{}'
);

create index audit_list on rotor.audit_events (workspace_id, id);

-- How far the pruner is: one row for each thing that is swept from its oldest row on, again and again. Whoever takes a step
-- holds its row, so that any number of nodes share the work.
create table rotor.sweeps (
  what     text not null check (what in ('jobs', 'events', 'audit', 'keys', 'rest')),
  queue_id int not null default 0,       -- of jobs
  cursor   uuid,                         -- the last row looked at (of keys: the last job); null: from the start
  began_at timestamptz,                  -- of the sweep under way
  looked   bigint not null default 0,    -- rows, in it
  removed  bigint not null default 0,    -- of these
  next_at  timestamptz not null default '-infinity',
  primary key (what, queue_id)
);

insert into rotor.sweeps (what) values ('rest'), ('events'), ('audit'), ('keys');
