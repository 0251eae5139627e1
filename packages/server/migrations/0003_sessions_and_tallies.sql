-- What people who look at a server need: to be logged in, and to see how its deliveries went.

-- Logins of people, by a key: what the key may, for as long as it is good, and no longer than `expires_at`. Only the SHA-256
-- of what their browser holds is kept.
create table rotor.sessions (
  hash         bytea primary key,
  workspace_id text not null references rotor.workspaces (id) on delete cascade,
  key_id       uuid not null references rotor.api_keys (id) on delete cascade,
  created_at   timestamptz not null default rotor.clock(),
  expires_at   timestamptz not null
);

create index sessions_key on rotor.sessions (key_id);
create index sessions_expires on rotor.sessions (expires_at);

-- How deliveries went is written down for every queue, and kept for a day. The longest that one of that minute had waited
-- when it was sent off.
alter table rotor.tallies add column wait_ms int not null default 0;

create index tallies_at on rotor.tallies (at);
