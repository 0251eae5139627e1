/** A whole server in the test's process, on a schema of its own, with a client and the clock in the test's hand. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Rotor } from "@rotorsh/sdk";
import { type Config, readConfig } from "../config.js";
import { type Outside, startRotor } from "../main.js";
import { violations } from "../store/invariants.js";
import { type TestDatabase, testDatabase } from "./database.js";

export type TestServer = TestDatabase & {
  readonly baseUrl: string;
  readonly rotor: Rotor;
  /** Makes it look at all that is due, as a hint of another node does. */
  ring(): Promise<void>;
  /** A real HTTP server on loopback, closed with this one. Answers its address. */
  serve(listener: RequestListener): Promise<string>;
  /** Ends the server, as SIGTERM does; its database stays until `close`. */
  stop(): Promise<void>;
};

/** The settings of a server on this database, in the mode of `rotor dev`. */
export const testConfig = (database: TestDatabase, environment: Record<string, string> = {}): Config =>
  readConfig(
    {
      DATABASE_URL: database.url,
      ROTOR_SCHEMA: database.schema,
      ROTOR_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString("base64"),
      ROTOR_LOG_LEVEL: "error",
      ...environment,
    },
    { mode: "dev", port: 0 },
  );

/** Starts one, in the mode of `rotor dev`. `close` ends it and fails if an invariant is broken. */
export async function testServer(environment: Record<string, string> = {}, outside: Outside = {}): Promise<TestServer> {
  const database = await testDatabase();
  const config = testConfig(database, environment);
  const server = await startRotor(config, outside);
  const others: Server[] = [];
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= server.stop();
    return stopped;
  };
  return {
    ...database,
    baseUrl: server.url,
    rotor: new Rotor({ baseUrl: server.url }),
    // A jump is no outage: a node that lives has its lease as before, else it would drop all that it holds.
    async shiftClock(ms) {
      await database.db.script(
        `begin;
         lock table rotor.nodes in access exclusive mode;
         create temp table jump on commit drop as select rotor.clock() as at;
         create or replace function rotor.clock() returns timestamptz language sql stable parallel safe
           as 'select clock_timestamp() + interval ''${ms} milliseconds''';
         update rotor.nodes set lease_until = lease_until + (rotor.clock() - jump.at) from jump where lease_until > jump.at;
         commit`,
      );
    },
    async ring() {
      await database.db.script(`select pg_notify('${database.schema}_wake', '')`);
    },
    serve: (listener) =>
      new Promise((resolve) => {
        const other = createServer(listener);
        others.push(other);
        other.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(other.address() as AddressInfo).port}`));
      }),
    stop,
    async close() {
      await stop();
      for (const other of others) {
        other.closeAllConnections();
        await new Promise((resolve) => other.close(resolve));
      }
      const broken = await violations(database.db);
      await database.close();
      if (broken.length > 0) throw new Error(`Broken invariants: ${JSON.stringify(broken)}`);
    },
  };
}

/** Waits until `look` answers something, asking again soon. Throws after `ms` with what it waited for, and what `there` tells. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 15_000,
  there?: () => Promise<unknown>,
): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > until) {
      const instead = there === undefined ? "" : ` There was: ${JSON.stringify(await there())}`;
      throw new Error(`Waited ${ms} ms in vain for ${what}.${instead}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
