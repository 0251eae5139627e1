-- What signs for a queue is its own keys and its workspace's: found without passing those of all other queues.
drop index rotor.signing_keys_owner;
create index signing_keys_workspace on rotor.signing_keys (workspace_id) where queue_id is null;
