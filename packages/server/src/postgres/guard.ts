/**
 * Refuses a Postgres that would lose what Rotor has promised to keep. It looks and throws; it changes no setting.
 */
import type { Client, ClientBase } from "pg";
import { refusePooler } from "./pooler.js";
import { explained } from "./reach.js";

/** The oldest Postgres that Rotor's statements are tested with, as `server_version_num` writes it. */
const OLDEST_VERSION = 150_000;

/** What Postgres says of itself that matters for durable work. */
export type StoreFacts = {
  readonly version_number: number;
  readonly version: string;
  readonly fsync: string;
  readonly full_page_writes: string;
  readonly synchronous_commit: string;
  readonly is_replica: boolean;
};

const FACTS = `
  select current_setting('server_version_num')::int as version_number,
         current_setting('server_version') as version,
         current_setting('fsync') as fsync,
         current_setting('full_page_writes') as full_page_writes,
         current_setting('synchronous_commit') as synchronous_commit,
         pg_is_in_recovery() as is_replica`;

/**
 * Throws unless this session's Postgres is one to which durable work can be trusted. The message says what is wrong,
 * why it matters and how to change it. `synchronous_commit` is the session's own: a role or database may set it.
 */
export const checkStore = async (client: ClientBase): Promise<void> => {
  const { rows } = await client.query<StoreFacts>(FACTS);
  const facts = rows[0];
  if (facts === undefined) throw new Error("Postgres did not describe itself.");
  const complaint = complaintAbout(facts);
  if (complaint !== undefined) throw new Error(complaint);
};

/** Looks at a store before anything is done with it: at what it is, and at what stands between. Throws as `checkStore` does. */
export const inspectStore = async (connect: () => Promise<Client>): Promise<void> => {
  const clients: Client[] = [];
  try {
    for (let n = 0; n < 2; n++)
      clients.push(
        await connect().catch((error: unknown) => {
          throw explained(error);
        }),
      );
    const [one, other] = clients as [Client, Client];
    await checkStore(one);
    await refusePooler(one, other);
  } finally {
    for (const client of clients) await client.end();
  }
};

/** What is wrong with such a store, in sentences, or undefined. */
export const complaintAbout = (facts: StoreFacts): string | undefined => {
  if (facts.version_number < OLDEST_VERSION) {
    return `Postgres ${facts.version} is too old: Rotor needs 15 or newer. Upgrade it, or point DATABASE_URL to a newer one.`;
  }
  if (facts.is_replica) {
    return "This Postgres is a read-only replica (in recovery), and Rotor must write. Point DATABASE_URL to the primary.";
  }
  if (facts.fsync !== "on") {
    return "Postgres runs with fsync = off: a power loss could destroy the database. Set fsync = on and restart Postgres.";
  }
  if (facts.full_page_writes !== "on") {
    return "Postgres runs with full_page_writes = off: a power loss could leave half-written pages. Set full_page_writes = on and reload Postgres.";
  }
  if (facts.synchronous_commit === "off") {
    return "Postgres runs with synchronous_commit = off: a crash could undo jobs and steps that were already acknowledged. Set it to on (or local) for the server, and for this role and database.";
  }
  return undefined;
};
