/**
 * The wait until a Postgres on the cluster answers: it takes the one that runs, or launches one, and knows which
 * refusals pass by themselves. It prepares no files; `embedded.ts` has done so.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Binaries } from "./binaries.js";
import { adopt } from "./cluster.js";
import { ask, createDatabase, DATABASE } from "./connect.js";
import type { Identity } from "./identity.js";
import { disownLocks, findPostmaster, type Launch, launch, type Postmaster, stopPostmaster } from "./postmaster.js";
import { type Transport, urlFor } from "./settings.js";

/** Where and as whom Postgres runs. */
export type Site = {
  readonly cluster: string;
  readonly binaries: Binaries;
  readonly identity: Identity;
  /** How a Postgres that we launch is reached; one that is found may be reached otherwise. */
  readonly transport: Transport;
  readonly logFile: string;
};

export type Ready = { readonly postmaster: Postmaster; readonly transport: Transport };

const POLL_MS = 10;
/** Starting takes 40 ms; without any answer for this long it will not come. */
const SILENCE_MS = 20_000;
/** Replaying the log after a crash is a sign of life, and with 2 GB of it on a slow disk takes minutes. */
const RECOVERY_MS = 10 * 60_000;
/** Children of a killed Postgres notice within 1.5 s, and until they are gone no other may start. */
const LOCK_WAIT_MS = 10_000;
const LOCKED = /lock file "[^"]*" already exists|pre-existing shared memory block/;
const LOCK_RETRY_MS = 50;

/** Returns when Rotor's database answers a query. Throws with the last lines of the log, and leaves nothing running. */
export const untilReady = async (site: Site, log: (line: string) => void): Promise<Ready> => {
  const wait: Wait = {
    site,
    log,
    startedAt: Date.now(),
    lastSignAt: Date.now(),
    problem: "no connection",
    launched: undefined,
  };
  try {
    for (;;) {
      const ready = await look(wait);
      if (ready) return ready;
      await pause(POLL_MS);
    }
  } catch (error) {
    if (wait.launched) await stopPostmaster(site.cluster, site.binaries);
    throw error;
  }
};

type Wait = {
  readonly site: Site;
  readonly log: (line: string) => void;
  readonly startedAt: number;
  /** When a Postgres last said anything, were it a refusal. */
  lastSignAt: number;
  problem: string;
  /** Ours, if we have launched one: undefined while another one runs. */
  launched: Launch | undefined;
};

/** One look at the cluster, and the step that follows from it. */
const look = async (wait: Wait): Promise<Ready | undefined> => {
  const { site, launched } = wait;
  const postmaster = findPostmaster(site.cluster);
  if (postmaster) {
    const ready = await greet(wait, postmaster);
    if (ready) return ready;
  } else if (!launched) {
    await refuseForeign(site);
    adopt(site.cluster, site.identity);
    disownLocks(site.cluster, site.transport);
    wait.launched = launch(site);
  }
  const waitedMs = Date.now() - wait.startedAt;
  if (launched?.hasFailed()) {
    const output = launched.output();
    if (!LOCKED.test(output) || waitedMs > LOCK_WAIT_MS) throw new Error(sentence("ended", output, site));
    wait.launched = undefined;
    await pause(LOCK_RETRY_MS);
  }
  if (Date.now() - wait.lastSignAt > SILENCE_MS || waitedMs > RECOVERY_MS) {
    throw new Error(sentence(`gave no answer (${wait.problem})`, launched?.output() ?? "", site));
  }
  return undefined;
};

/** Asks a postmaster that runs; makes the database when it is the first to be asked. */
const greet = async (wait: Wait, postmaster: Postmaster): Promise<Ready | undefined> => {
  const transport = transportOf(postmaster, wait.site.transport);
  if (!transport) return undefined;
  const answer = await ask(urlFor(transport, DATABASE));
  if (answer.kind === "silent") {
    wait.problem = answer.why;
    return undefined;
  }
  wait.lastSignAt = Date.now();
  if (answer.kind === "busy") {
    wait.problem = answer.why;
    return undefined;
  }
  if (answer.kind === "missing") await createDatabase(urlFor(transport, "template1"));
  if (!wait.launched) wait.log(`Found Postgres again (process ${postmaster.pid}), left by an earlier Rotor.`);
  return { postmaster, transport };
};

/** How to reach this postmaster, or undefined while it does not listen yet. */
const transportOf = ({ socketFolder, port }: Postmaster, own: Transport): Transport | undefined => {
  if (own.kind === "loopback") return port > 0 ? { ...own, port } : undefined;
  return socketFolder === undefined ? undefined : { kind: "socket", folder: socketFolder };
};

/**
 * A Postgres that answers on the cluster's socket but whose process is not to be seen runs in another container on
 * the same volume. Its lock file means nothing here, so Postgres itself would start a second one and ruin the data.
 */
const refuseForeign = async ({ cluster, transport }: Site): Promise<void> => {
  if (transport.kind !== "socket") return;
  const answer = await ask(urlFor(transport, DATABASE));
  if (answer.kind === "silent" || findPostmaster(cluster) !== undefined) return;
  throw new Error(
    `A Postgres in another container is running on ${cluster}. Stop that container first: one volume serves one Rotor.`,
  );
};

const LAST_LINES = 12;

const sentence = (what: string, output: string, { logFile }: Site): string => {
  const lines = output.trim().split("\n").slice(-LAST_LINES).join("\n");
  return `The embedded Postgres ${what}. The last lines of ${logFile}:\n${lines}`;
};
