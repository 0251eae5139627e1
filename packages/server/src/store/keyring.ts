/**
 * What lies sealed in the database, opened: signing keys and secrets. The only place that knows the keys of encryption.
 * Both are remembered for a moment, secrets still sealed; what this node changes it knows at once, others after that moment.
 */
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { open, type SealKeys, seal } from "../core/seal.js";
import { batchWriter } from "./batch.js";
import type { Db } from "./db.js";
import { countNodes } from "./nodes.js";
import { isDisconnect } from "./outage.js";
import { type PutSecret, putSecret, type SealedSecret, sealedSecrets } from "./secrets.js";
import { activeSigningKeys, insertSigningKey, type Owner, replaceSigningKey, type SigningKey } from "./signing-keys.js";
import { createWorkspace } from "./workspaces.js";

/** A rotation overlaps for far longer. */
const KEPT_MS = 5_000;
/** What was signed just before that, and is on its way. */
const ON_ITS_WAY_MS = 500;
const KEPT = 10_000;

/** What a signing key is sealed for: moved to another workspace's row, or another queue's, it does not open. */
export const signingContext = (workspace: string, queueId: number | null): string =>
  queueId === null ? `signing:${workspace}` : `signing:${workspace}:${queueId}`;

/** What a secret is sealed for. */
export const secretContext = (workspace: string, name: string): string => `secret:${workspace}:${name}`;

export type Keyring = {
  /**
   * What signs a queue's deliveries, the newest first: its own secrets, else the workspace's. While a queue gives its
   * own up, both. For what is no queue's, the workspace's.
   */
  signing(workspace: string, queueId?: number): Promise<readonly string[]>;
  /**
   * Puts a signing key in the place of those before, which go on for `overlapMs`; undefined: a queue goes back to the
   * workspace's. The key that signs already changes nothing: false.
   * @throws TooManySigningKeys
   */
  replaceSigning(
    workspace: string,
    queueId: number | undefined,
    secret: string | undefined,
    overlapMs: number,
  ): Promise<boolean>;
  /** Resolves when no other node signs by what it remembered before now: at once where there is none. */
  heardByAll(): Promise<void>;
  /** Of these secrets, those that there are. Throws where the key that one was sealed with is not at hand. */
  secretValues(workspace: string, names: readonly string[]): Promise<ReadonlyMap<string, string>>;
  putSecret(workspace: string, name: string, value: string, mayChange: boolean): Promise<PutSecret>;
  /** Makes a workspace with this signing key. False: the id is taken. */
  createWorkspace(id: string, name: string, signingKey: string): Promise<boolean>;
  /** What was remembered of a workspace is read anew. */
  forget(workspace: string): void;
};

export function createKeyring(db: Db, keys: SealKeys): Keyring {
  // Opened: each delivery needs them.
  const signing = remembered<string>();
  const secretRows = remembered<SealedSecret>();
  /** Deliveries to many queues that begin together share a look. */
  const active = batchWriter<Owner, readonly SigningKey[]>((owners) => activeSigningKeys(db, owners), {
    size: limits.writeBatch,
    isEverybodys: isDisconnect,
  });
  const openSigning = (workspace: string, { sealed, queueId }: SigningKey): string =>
    open(keys, sealed, signingContext(workspace, queueId));
  const forget = (workspace: string): void => {
    signing.forget(workspace);
    secretRows.forget(workspace);
  };

  return {
    forget,
    signing: (workspace, queueId) =>
      signing.read(workspace, queueId ?? 0, async () => {
        const rows = await active.write({ workspace, queueId: queueId ?? null });
        const own = rows.filter((row) => row.queueId !== null);
        const stays = own.some((row) => row.expiresAt === null);
        return (stays ? own : rows).map((row) => openSigning(workspace, row));
      }),
    async replaceSigning(workspace, queueId = undefined, secret, overlapMs) {
      const owner = { workspace, queueId: queueId ?? null };
      const [signs] = await activeSigningKeys(db, [owner]);
      const current = signs!.find((row) => row.queueId === owner.queueId && row.expiresAt === null);
      if (secret === undefined && current === undefined) return false;
      if (secret !== undefined && current !== undefined && openSigning(workspace, current) === secret) return false;
      const next =
        secret === undefined
          ? undefined
          : { id: newId(), sealed: seal(keys, secret, signingContext(workspace, owner.queueId)) };
      await replaceSigningKey(db, owner, next, overlapMs);
      signing.forget(workspace);
      return true;
    },
    async heardByAll() {
      if ((await countNodes(db)) > 1) await new Promise((resolve) => setTimeout(resolve, KEPT_MS + ON_ITS_WAY_MS));
    },
    async secretValues(workspace, names) {
      if (names.length === 0) return new Map();
      const rows = await secretRows.read(workspace, 0, () => sealedSecrets(db, workspace));
      return new Map(
        rows
          .filter((row) => names.includes(row.name))
          .map(({ name, sealed }) => [name, open(keys, sealed, secretContext(workspace, name))]),
      );
    },
    async putSecret(workspace, name, value, mayChange) {
      const sealed = seal(keys, value, secretContext(workspace, name));
      const result = await putSecret(db, workspace, { name, sealed }, mayChange);
      secretRows.forget(workspace);
      return result;
    },
    createWorkspace: (id, name, signingKey) =>
      db.transact(async (t) => {
        if (!(await createWorkspace(t, id, name))) return false;
        const sealed = seal(keys, signingKey, signingContext(id, null));
        await insertSigningKey(t, { id: newId(), workspace: id, queueId: null, sealed });
        return true;
      }),
  };
}

/** Lists by workspace and queue, remembered for a moment. Those who ask at the same time share a look. */
function remembered<Item>() {
  const kept = new Map<string, Map<number, { readonly at: number; readonly items: Promise<readonly Item[]> }>>();
  return {
    read(workspace: string, queueId: number, look: () => Promise<readonly Item[]>): Promise<readonly Item[]> {
      const ofWorkspace = kept.get(workspace) ?? new Map();
      const known = ofWorkspace.get(queueId);
      if (known !== undefined && performance.now() - known.at < KEPT_MS) return known.items;
      if (kept.size >= KEPT || ofWorkspace.size >= KEPT) kept.clear();
      kept.set(workspace, ofWorkspace);
      const items = look();
      // A look that failed is told to who asked, and not remembered.
      items.catch(() => ofWorkspace.delete(queueId));
      ofWorkspace.set(queueId, { at: performance.now(), items });
      return items;
    },
    forget: (workspace: string) => void kept.delete(workspace),
  };
}
