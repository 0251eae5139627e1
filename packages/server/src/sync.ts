/** Reads an app's manifest and stores what it says of itself. */
import { randomBytes } from "node:crypto";
import { headers, type Manifest, manifestContext } from "@rotorsh/sdk/protocol";
import { signRotor, verifyAnswer } from "@rotorsh/sdk/signature";
import { storable } from "./core/callback-answer.js";
import { checkSchedule } from "./core/cron.js";
import { limits } from "./core/limits.js";
import { checkExpression } from "./core/match.js";
import { checkStartOptions } from "./core/start-options.js";
import { parseManifest } from "./core/workflow-answer.js";
import { deliver } from "./delivery/deliver.js";
import type { Pools } from "./delivery/pools.js";
import type { SyncResult } from "./http/engine.js";
import { syncApp } from "./store/apps.js";
import type { Db } from "./store/db.js";

export type SyncOptions = {
  readonly db: Db;
  readonly pools: Pools;
  readonly dev: boolean;
  /** The time of day, in milliseconds, as the database has it. */
  readonly now: () => number;
  readonly secrets: (workspace: string) => Promise<readonly string[]>;
};

/** How long an app may take to describe itself. */
const TIMEOUT_MS = 10_000;

export type Unread = { readonly ok: false; readonly status: 422 | 424; readonly message: string };

/** What the app at this address says of itself: its answer is signed, and it is of this server's kind. */
export async function readManifest(
  options: Omit<SyncOptions, "db">,
  workspace: string,
  url: string,
): Promise<{ readonly ok: true; readonly manifest: Manifest } | Unread> {
  const secrets = await options.secrets(workspace);
  const nonce = randomBytes(16).toString("hex");
  const result = await deliver(options.pools, {
    url,
    method: "GET",
    headers: { [headers.signature]: signRotor("", secrets, Math.floor(options.now() / 1000)), [headers.nonce]: nonce },
    body: "",
    timeoutMs: TIMEOUT_MS,
    maxBodyBytes: limits.bodyBytes,
    workspace,
  });
  if (result.kind === "unreached" && result.reason === "blocked")
    return { ok: false, status: 422, message: result.message };
  if (result.kind !== "answered") {
    const why = "message" in result ? result.message : result.kind;
    return {
      ok: false,
      status: 424,
      message: `The app at ${url} could not be read: ${why}. Is it running, and served at this path?`,
    };
  }
  const signed =
    result.status === 200
      ? verifyAnswer(result.body, manifestContext(nonce), [...secrets], { now: options.now() })
      : undefined;
  if (signed === undefined) {
    const said = storable(result.body).slice(0, 300);
    return {
      ok: false,
      status: 424,
      message: `${url} answered ${result.status}, not signed with this workspace's signing key: ${said}`,
    };
  }
  const manifest = parseManifest(signed.json);
  if (!manifest.ok) return { ok: false, status: 422, message: `The app's manifest is not one: ${manifest.message}` };
  if (manifest.value.dev && !options.dev) {
    return {
      ok: false,
      status: 422,
      message:
        "The app runs in development mode (ROTOR_DEV=1), whose key is public. Unset ROTOR_DEV and give it ROTOR_SIGNING_KEY.",
    };
  }
  return { ok: true, manifest: manifest.value };
}

/** Reads the app at this address and makes the stored functions equal to what it says. */
export async function sync(options: SyncOptions, workspace: string, url: string, move: boolean): Promise<SyncResult> {
  const read = await readManifest(options, workspace, url);
  if (!read.ok) return read;
  const { manifest } = read;
  const ids = new Set(manifest.functions.map(({ id }) => id));
  for (const each of manifest.functions) {
    const { id, triggers } = each;
    const wrong = checkStartOptions(each, ids);
    if (wrong !== undefined) return { ok: false, status: 422, message: `The function ${id}: ${wrong}` };
    for (const trigger of triggers) {
      const wrong =
        "cron" in trigger
          ? checkSchedule(trigger.cron, trigger.timezone)
          : trigger.if === undefined
            ? undefined
            : checkExpression(trigger.if);
      if (wrong !== undefined) return { ok: false, status: 422, message: `The function ${id}: ${wrong}` };
    }
  }
  const synced = await syncApp(options.db, workspace, url, manifest, move);
  if (!synced.ok) return { ok: false, status: 409, message: synced.message };
  return {
    ok: true,
    app: synced.app.name,
    url,
    added: synced.added,
    removed: synced.removed,
    functions: manifest.functions.length,
  };
}
