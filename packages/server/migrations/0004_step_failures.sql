-- Of a step that was tried again: its earlier attempts that failed, oldest first, a JSON text each. Not jsonb: messages may hold
-- what that refuses.
alter table rotor.steps add column failures text[];
