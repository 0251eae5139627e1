/** The API over a real database, without a socket and without loops: an engine made of the store's functions. */
import { DEVELOPMENT_SIGNING_KEY, type Manifest } from "@rotorsh/sdk/protocol";
import { decide } from "../../core/job.js";
import { limits } from "../../core/limits.js";
import { parseKeys } from "../../core/seal.js";
import { parsePolicy } from "../../delivery/guard.js";
import { createMetrics } from "../../metrics.js";
import { syncApp } from "../../store/apps.js";
import { AGAIN } from "../../store/batch.js";
import { checkpoint } from "../../store/checkpoint.js";
import { enqueue } from "../../store/enqueue.js";
import { createKeyring } from "../../store/keyring.js";
import { publish } from "../../store/publish.js";
import { renewAccepted } from "../../store/rescue.js";
import { settle } from "../../store/settle.js";
import { startIn } from "../../store/start.js";
import { readHeldJob } from "../../store/views.js";
import { createWorkspace, type Scope } from "../../store/workspaces.js";
import { type TestDatabase, testDatabase } from "../../testing-kit/database.js";
import { createApp } from "../app.js";
import { createApiKey, SCOPES } from "../auth.js";
import type { Engine, FeedEntry } from "../engine.js";

export const TOKEN_SECRET = DEVELOPMENT_SIGNING_KEY;

/** An answer, its JSON read; undefined where there is none. */
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: ReturnType<typeof JSON.parse>;
};

/** Sends a request as somebody. Objects are sent as JSON; text and bytes as they are, with the headers given. */
export type Send = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

export type TestApi = {
  readonly database: TestDatabase;
  readonly engine: Engine;
  readonly app: ReturnType<typeof createApp>;
  /** What `functions/sync` finds at an address. */
  readonly apps: Map<string, Manifest>;
  /** Ends all waits of `engine.finished`. */
  readonly finish: () => void;
  /** Resolves when somebody waits for a run's end. */
  readonly waited: () => Promise<void>;
  readonly feed: (entry: FeedEntry) => void;
  readonly logged: { readonly err: unknown; readonly message: string }[];
  /** A sender with a new key. */
  as(workspace: string, scopes?: readonly Scope[]): Promise<Send>;
  readonly anonymous: Send;
  close(): Promise<void>;
};

export const WORKSPACES = ["default", "other"] as const;

export async function testApi(config: Partial<Engine["config"]> = {}): Promise<TestApi> {
  const database = await testDatabase();
  const { db } = database;
  for (const id of WORKSPACES) await createWorkspace(db, id, id);
  const apps = new Map<string, Manifest>();
  const listeners = new Set<(entry: FeedEntry) => void>();
  const waits = new Set<() => void>();
  let tellWaited = (): void => undefined;
  const logged: { err: unknown; message: string }[] = [];

  const engine: Engine = {
    db,
    config: {
      dev: false,
      publicUrl: "http://127.0.0.1:7686",
      environment: "test",
      version: "0.1.0",
      store: "a test's schema",
      ...config,
    },
    policy: parsePolicy("loopback"),
    tokenSecret: TOKEN_SECRET,
    keyring: createKeyring(db, parseKeys(Buffer.alloc(32, 7).toString("base64"))),
    enqueue: async (job) => (await db.transact((t) => enqueue(t, [job])))[0]!,
    start: async (to, job) => (await db.transact((t) => startIn(t, db.schema, [{ to, job }])))[0]!,
    enqueueAll: (all) => db.transact((t) => enqueue(t, all)),
    publish: (events) => publish(db, events),
    async checkpoint(item) {
      const [result] = await checkpoint(db, [item], () => false);
      if (result === undefined || result === AGAIN) throw new Error("The run is locked by a test.");
      return result;
    },
    async settleAccepted(jobId, delivery, end) {
      const job = await readHeldJob(db, jobId);
      if (job?.state !== "active" || job.delivery !== delivery) return "stale";
      const policy = { maxAttempts: job.maxAttempts, backoff: job.backoff };
      const outcome = decide(
        { kind: "callback", attempt: job.attempt, asyncTimeoutMs: limits.asyncTimeoutMs },
        end,
        policy,
        0.5,
      )!;
      const item = {
        jobId,
        delivery,
        attempt: job.attempt,
        parentId: job.parentId,
        outcome,
        policy,
        status: null,
        durationMs: 0,
        random: 0.5,
      };
      const [settled] = await settle(db, [item]);
      return settled !== undefined && settled !== AGAIN ? settled.kind : "stale";
    },
    heartbeat: (jobId, delivery) => renewAccepted(db, jobId, delivery),
    // Real apps are asked in the stories.
    check: async (_workspace, url) => ({ ok: false, status: 424, message: `The app at ${url} could not be read.` }),
    async sync(workspace, url, move) {
      const manifest = apps.get(url);
      if (manifest === undefined) return { ok: false, status: 424, message: `${url} does not answer.` };
      const synced = await syncApp(db, workspace, url, manifest, move);
      if (!synced.ok) return { ok: false, status: 409, message: synced.message };
      return {
        ok: true,
        app: manifest.app,
        url,
        added: synced.added,
        removed: synced.removed,
        functions: manifest.functions.length,
      };
    },
    wake: () => undefined,
    finished: () =>
      new Promise((resolve) => {
        waits.add(resolve);
        tellWaited();
      }),
    feed: {
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      publish(entry) {
        for (const listener of listeners) listener({ ...entry, at: new Date().toISOString() } as FeedEntry);
      },
    },
    metrics: createMetrics(),
    isHeld: () => false,
    draining: () => false,
  };
  const app = createApp(engine, { log: { error: ({ err }, message) => logged.push({ err, message }) } });

  const sender =
    (authorization: string | undefined): Send =>
    async (method, path, body, headers = {}) => {
      const isRaw = typeof body === "string" || body instanceof Uint8Array;
      const response = await app.request(`http://rotor.test${path}`, {
        method,
        headers: {
          ...(authorization === undefined ? {} : { authorization }),
          ...(body === undefined || isRaw ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
      return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
    };

  return {
    database,
    engine,
    app,
    apps,
    finish: () => {
      for (const resolve of waits) resolve();
      waits.clear();
    },
    waited: () =>
      new Promise((resolve) => {
        if (waits.size > 0) resolve();
        else tellWaited = resolve;
      }),
    feed: (entry) => {
      for (const listener of listeners) listener(entry);
    },
    logged,
    as: async (workspace, scopes = SCOPES) =>
      sender(`Bearer ${(await createApiKey(db, workspace, "test", scopes)).key}`),
    anonymous: sender(undefined),
    close: () => database.close(),
  };
}

/** A manifest of functions that listen for events. */
export const manifestOf = (
  app: string,
  functions: readonly { id: string; event?: string; cron?: string }[],
): Manifest => ({
  version: 1,
  app,
  sdk: "test",
  hash: "h",
  dev: false,
  functions: functions.map(({ id, event, cron }) => ({
    id,
    triggers: [...(event === undefined ? [] : [{ event }]), ...(cron === undefined ? [] : [{ cron, timezone: "UTC" }])],
    max_attempts: 4,
    concurrency: 10,
  })),
});
