/**
 * A server as an operator runs it: every request needs a key, deliveries may reach 127.0.0.1 and nothing else that is not
 * public, and it has two workspaces. With it whatever a test compares: all tables as text, all lines of the log.
 */
import { Agent, createServer, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Rotor } from "@rotorsh/sdk";
import { newSecret } from "@rotorsh/sdk/signature";
import { createApiKey, SCOPES } from "../../http/auth.js";
import { type Outside, startRotor } from "../../main.js";
import { violations } from "../../store/invariants.js";
import { createWorkspace, type Scope } from "../../store/workspaces.js";
import { type TestDatabase, testDatabase } from "../../testing-kit/database.js";
import { testConfig } from "../../testing-kit/server.js";

export type Reply = {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** Undefined where it is no JSON. */
  readonly json: ReturnType<typeof JSON.parse>;
  readonly ms: number;
};

export type Asked = {
  readonly method?: string;
  /** As it goes over the wire: nothing is resolved or encoded. */
  readonly path: string;
  /** Text and bytes as they are; anything else as JSON. */
  readonly body?: unknown;
  /** Beside the key and, of a body, JSON's content type. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Undefined: the administrator's of `default`. Null: none. */
  readonly key?: string | null;
};

export type StrictServer = TestDatabase & {
  readonly baseUrl: string;
  readonly port: number;
  /** Of the workspace `default`, with all scopes. */
  readonly key: string;
  readonly signingKey: string;
  readonly rotor: Rotor;
  /** Another key. */
  keyOf(workspace: string, scopes?: readonly Scope[], expiresAt?: Date | null): Promise<string>;
  ask(asked: Asked): Promise<Reply>;
  /** Every row of every table as text, but for what nodes write of themselves. */
  everything(): Promise<readonly string[]>;
  readonly logged: () => string;
  /** A real HTTP server on 127.0.0.1, closed with this one. Answers its address. */
  serve(listener: RequestListener): Promise<string>;
};

/** Rows that change by themselves: nodes renew, sweeps and alerts note where they stand. */
const OF_NODES = new Set(["nodes", "sweeps"]);

export async function strictServer(
  environment: Record<string, string> = {},
  outside: Omit<Outside, "log"> = {},
): Promise<StrictServer> {
  const database = await testDatabase();
  const { db } = database;
  const signingKey = newSecret();
  let log = "";
  const config = testConfig(database, {
    ROTOR_ALLOW_PRIVATE_URLS: "127.0.0.1",
    ROTOR_SIGNING_KEY: signingKey,
    ROTOR_LOG_LEVEL: "trace",
    ...environment,
  });
  const server = await startRotor(
    { ...config, mode: "start" },
    {
      ...outside,
      log: {
        write: (line) => {
          log += line;
        },
      },
    },
  );
  await createWorkspace(db, "other", "Other");
  const keyOf: StrictServer["keyOf"] = async (workspace, scopes = SCOPES, expiresAt = null) =>
    (await createApiKey(db, workspace, "strict", scopes, expiresAt)).key;
  const key = await keyOf("default");
  const { hostname, port } = new URL(server.url);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const others: Server[] = [];

  return {
    ...database,
    baseUrl: server.url,
    port: Number(port),
    key,
    signingKey,
    rotor: new Rotor({ baseUrl: server.url, apiKey: key }),
    keyOf,
    logged: () => log,
    ask: ({ method, path, body, headers = {}, key: given = key }) =>
      new Promise((resolve, reject) => {
        const bytes =
          body === undefined
            ? undefined
            : typeof body === "string" || body instanceof Uint8Array
              ? Buffer.from(body as string)
              : Buffer.from(JSON.stringify(body));
        const begun = performance.now();
        const outgoing = request({
          agent,
          hostname,
          port,
          path,
          method: method ?? (bytes === undefined ? "GET" : "POST"),
          headers: {
            ...(given === null ? {} : { authorization: `Bearer ${given}` }),
            ...(bytes === undefined ? {} : { "content-type": "application/json", "content-length": bytes.byteLength }),
            ...(headers as Record<string, string | string[]>),
          },
        });
        outgoing.on("error", reject);
        outgoing.on("response", async (response) => {
          const said = await text(response).catch(() => "");
          const ms = performance.now() - begun;
          const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
          const { statusCode: status = 0, headers: answered } = response;
          resolve({ status, headers: answered, text: said, json: isJson ? JSON.parse(said) : undefined, ms });
        });
        outgoing.end(bytes);
      }),
    async everything() {
      const { rows: tables } = await db.script(
        `select table_name as name from information_schema.tables where table_schema = '${database.schema}' order by 1`,
      );
      const all = await Promise.all(
        (tables as { name: string }[])
          .filter(({ name }) => !OF_NODES.has(name))
          .map(async ({ name }) => {
            const { rows } = await db.script(`select each::text as row from rotor.${name} each order by 1`);
            return rows.map(({ row }: { row: string }) => `${name}: ${row}`);
          }),
      );
      return all.flat();
    },
    serve: (listener) =>
      new Promise((resolve) => {
        const other = createServer(listener);
        others.push(other);
        other.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(other.address() as AddressInfo).port}`));
      }),
    async close() {
      agent.destroy();
      await server.stop();
      for (const other of others) {
        other.closeAllConnections();
        await new Promise((resolve) => other.close(resolve));
      }
      const broken = await violations(db);
      await database.close();
      if (broken.length > 0) throw new Error(`Broken invariants: ${JSON.stringify(broken)}`);
    },
  };
}
