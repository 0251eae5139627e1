/** `rotor keys …`: API keys, of which the first is made in the store, since a server asks for one; and what signs and seals. */

import { type ApiKey, type Duration, RotorConnectionError } from "@rotorsh/sdk";
import type { Config } from "@rotorsh/server";
import type { Command } from "commander";
import { duration, wordsOf } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf, settingsOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";
import {
  describeStore,
  isHeldBySomebody,
  loadServer,
  requireStore,
  type StoreOptions,
  storeConfig,
  storeNameOf,
} from "../store.js";

const SCOPES = ["read", "write", "approve", "admin", "workspaces"] as const;
type Scope = (typeof SCOPES)[number];

/** Unless said otherwise; the server's default, so that it does not matter who makes the key. */
const DEFAULT_SCOPES: readonly Scope[] = ["read", "write"];

type CreateFlags = JsonOption &
  StoreOptions & { readonly scopes?: readonly Scope[]; readonly expiresIn?: Duration; readonly workspace?: string };

type RotateFlags = JsonOption & { readonly queue?: string; readonly overlap?: Duration };

type Made = {
  readonly key: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly madeBy: string;
};

async function makeByServer(context: Context, name: string, { scopes, expiresIn }: CreateFlags): Promise<Made> {
  const made = await clientOf(context).keys.create({
    name,
    ...(scopes !== undefined && { scopes }),
    ...(expiresIn !== undefined && { expiresIn }),
  });
  const madeBy = `the server at ${settingsOf(context).baseUrl}`;
  return { key: made.key, name: made.name, scopes: made.scopes, madeBy };
}

async function makeInStore(config: Config, name: string, flags: CreateFlags): Promise<Made> {
  if (flags.expiresIn !== undefined) throw new UsageError("--expires-in needs a server that runs, and a key for it.");
  const { makeKey } = await loadServer();
  const scopes = flags.scopes ?? DEFAULT_SCOPES;
  const key = await makeKey(config, name, scopes, flags.workspace);
  return { key, name, scopes, madeBy: describeStore(config) };
}

const isAway = (error: unknown): boolean => error instanceof RotorConnectionError && error.reason === "unreachable";

/**
 * With a key in the environment, the server makes it. Else the store that is named does, whether or not a server runs on
 * it; but a folder that a server holds is open to that server only, which is asked first.
 */
async function make(context: Context, name: string, flags: CreateFlags): Promise<Made> {
  const isNamed = flags.embedded === true || storeNameOf(context) !== "none";
  if (!isNamed && flags.workspace !== undefined) {
    throw new UsageError(
      "--workspace needs a store, such as DATABASE_URL: a server makes keys for the workspace of yours.",
    );
  }
  if (!isNamed) return makeByServer(context, name, flags);
  const config = await storeConfig(context, flags);
  const isForServer = Boolean(context.env.ROTOR_API_KEY) || isHeldBySomebody(context, config);
  if (!isForServer || flags.workspace !== undefined) return makeInStore(config, name, flags);
  try {
    return await makeByServer(context, name, flags);
  } catch (error) {
    if (!isAway(error)) throw error;
    return makeInStore(config, name, flags);
  }
}

export function addKeys(program: Command, context: Context): void {
  const keys = group(program, "keys", "API keys, and what signs deliveries");

  leaf(keys, "create [name]", "make an API key; it is shown this once")
    .option("--scopes <scopes>", `some of ${SCOPES.join(",")} (default: read,write)`, wordsOf(SCOPES))
    .option("--expires-in <duration>", 'it stops to work after this time, such as "90d"', duration)
    .option("--workspace <id>", "with a store, such as DATABASE_URL: the workspace that it opens (default: default)")
    .option("--embedded", "in the embedded Postgres in .rotor")
    .action(async (name: string | undefined, flags: CreateFlags) => {
      const made = await make(context, name ?? "cli", flags);
      // Alone on standard output, so that a script can take it.
      show(context, flags, made, ({ key }) => key);
      if (!flags.json)
        context.err(
          `Made by ${clean(made.madeBy)}, for ${made.scopes.map(clean).join(", ")}. Keep it: it is not shown again.`,
        );
    });
  listLeaf(keys, "list", "list the API keys, without the keys themselves").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<ApiKey>(
      context,
      options,
      clientOf(context).keys.list({ limit }),
      [
        ["ID", (key) => key.id],
        ["NAME", (key) => key.name],
        ["SCOPES", (key) => key.scopes],
        ["CREATED", (key) => key.createdAt],
        ["EXPIRES", (key) => key.expiresAt],
        ["REVOKED", (key) => key.revokedAt],
      ],
      "No keys yet. Make one: rotor keys create NAME",
    );
  });
  leaf(keys, "rotate [id]", "sign deliveries with a new key, shown once; with an id: make that API key anew")
    .option("--queue <queue>", "the secret of this queue, in place of the workspace's signing key")
    .option("--overlap <duration>", "how long the old one goes on (default: 24h); 0s ends it at once", duration)
    .action(async (id: string | undefined, { queue, overlap, ...options }: RotateFlags) => {
      if (id !== undefined && queue !== undefined)
        throw new UsageError("Say either the id of an API key, or --queue for what signs its deliveries.");
      const client = clientOf(context).keys;
      const rotated =
        id === undefined ? await client.rotateSigning({ queue, overlap }) : await client.rotate(id, { overlap });
      // Alone on standard output, so that a script can take it.
      show(context, options, rotated, (made) => ("secret" in made ? made.secret : made.key));
      if (!options.json)
        context.err(`Keep it: it is not shown again. What was before it goes on for ${overlap ?? "24h"}.`);
    });
  leaf(
    keys,
    "reseal",
    "encrypt what is secret in the store with the first of ROTOR_ENCRYPTION_KEYS, so that the others can go",
  )
    .option("--embedded", "in the embedded Postgres in .rotor")
    .action(async (flags: JsonOption & StoreOptions) => {
      const { reseal } = await loadServer();
      const config = await storeConfig(context, flags);
      requireStore(context, config);
      const resealed = await reseal(config);
      show(
        context,
        flags,
        { resealed },
        () => `Sealed ${resealed} with the newest key; older ones are not needed now.`,
      );
    });
  leaf(keys, "revoke <id>", "make a key stop to work").action(async (id: string, options: JsonOption) => {
    await clientOf(context).keys.revoke(id);
    show(context, options, { id, revoked: true }, () => `Revoked ${clean(id)}.`);
  });
}
