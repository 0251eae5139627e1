-- Since when a job is active, in place of its limit, orders what is active: a claim counts from the first one that still is, and
-- need not pass the dead versions of all that have become so and left since, which somebody's open transaction keeps.
alter table rotor.jobs add column active_at timestamptz not null default '-infinity';

drop index rotor.jobs_active;
create index jobs_active on rotor.jobs (queue_id, active_at) where state = 'active';
