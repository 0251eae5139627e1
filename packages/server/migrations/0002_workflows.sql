-- Workflows, whole: how runs are started, what else ends a wait or a run, and when.

-- How its runs are started (singleton, debounce, batch, keys, priority, cancelOn, time limit, onFailure); see
-- core/start-options.ts. Read where runs are started and where they fail, never by a claim.
alter table rotor.queues add column starting jsonb not null default '{}';

-- A run may have a second concurrency key, whose turn it has while it is active and no longer (key_id alone may be strict),
-- and a time limit for all of it.
alter table rotor.jobs
  add column second_key_id int,
  add column deadline_at timestamptz;

create index jobs_second_turns on rotor.jobs (second_key_id) where second_key_id is not null and state = 'active';
create index jobs_second_keyed on rotor.jobs (second_key_id, due_at)
  where second_key_id is not null and state = 'waiting' and blocked_on is null;
-- The second timer: it ends whole runs, whatever they wait for. Runs without a time limit have no entry.
create index jobs_deadline on rotor.jobs (deadline_at) where deadline_at is not null and due_at is not null;

-- How long all of a run may take: kept to begin anew when it is retried. And of a replay that has results of an older
-- run: when that one began, which is as far as its waits may look back.
alter table rotor.payloads
  add column deadline_ms bigint,
  add column history_from timestamptz;

-- What else an event or a signal ends: a wait for the first of several (its parts), or the run itself (cancelOn).
create table rotor.watches (
  job_id   uuid not null,
  key      text not null,        -- the step that it is a part of; '': the run itself, which is cancelled
  name     text not null,        -- the part's name; of a cancelOn its place in the list
  kind     text not null check (kind in ('event', 'signal')),
  place    int not null default 0, -- of a part in its step's list: of two parts that one event meets, the first ends it
  wait_key uuid not null,        -- as in steps
  wait     jsonb not null,
  asked_at timestamptz not null, -- with `asked`, those of its step
  asked    int not null default 0,
  until    timestamptz,          -- not after this; null: as long as the step, or the run, is unfinished
  primary key (job_id, key, name)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create index watches_wait_key on rotor.watches (wait_key);
create unique index watches_signal on rotor.watches (wait_key) where kind = 'signal';

-- Which event ended a run by its cancelOn, for who looks at the event. Goes with its job.
create table rotor.cancellations (
  job_id   uuid primary key,
  event_id uuid not null
);

create index cancellations_event on rotor.cancellations (event_id);

alter table rotor.steps drop constraint steps_kind_check;
alter table rotor.steps add constraint steps_kind_check
  check (kind in ('run', 'sleep', 'event', 'signal', 'any', 'invoke', 'enqueue', 'send'));

-- Signals that were completed before anybody waited for them, kept because their sender asked for it.
create table rotor.early_signals (
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  signal       text not null,
  data         text not null,
  kept_at      timestamptz not null,
  until        timestamptz not null,
  primary key (workspace_id, signal)
);

create index early_signals_until on rotor.early_signals (until);

-- Signals that somebody completed by a link: no other link to it that was made before does anything more.
create table rotor.used_links (
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  signal       text not null,
  used_at      timestamptz not null,
  until        timestamptz not null,   -- the longest that any link can live
  primary key (workspace_id, signal)
);

create index used_links_until on rotor.used_links (until);

-- The run that a singleton's value belongs to, of the modes that look for it at a start (skip, cancel); written under the
-- name's lock. It says who was the last to start, not that he is unfinished.
create table rotor.singles (
  queue_id int not null references rotor.queues (id) on delete cascade,
  key      text not null,
  job_id   uuid not null,
  primary key (queue_id, key)
);

create index singles_job on rotor.singles (job_id);

-- Runs that wait for more before they begin: by debounce (the last event counts) or by batch (all of them do). One row
-- for each value of the key, written under the name's lock; it is of no use once its run is due.
create table rotor.gatherings (
  queue_id  int not null references rotor.queues (id) on delete cascade,
  key       text not null,
  job_id    uuid not null,
  opened_at timestamptz not null,
  events    int not null,
  bytes     int not null,   -- of a batch: what its events take in a delivery
  primary key (queue_id, key)
);

create index gatherings_job on rotor.gatherings (job_id);

-- The events of a gathered run behind its first, which is in its payload's `event_id`. Of a debounce the last event is the
-- payload, and the rows only say which others there were.
create table rotor.batched (
  job_id   uuid not null,
  place    int not null,         -- from 2
  event_id uuid not null,
  body     bytea,                -- the event as JSON; null of a debounce
  primary key (job_id, place)
);

create index batched_event on rotor.batched (event_id);

-- An event that is still to come has `received_at = 'infinity'`, and `due_at` says when it does.
alter table rotor.events
  add column tags text[],
  add column traceparent text;   -- W3C trace context of whoever sent it
