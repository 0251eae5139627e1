/**
 * Where things lie on disk: the cluster, its socket, and what must move when another user runs Postgres.
 * It makes folders; what is put into them is the business of others.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { hasCode, syncFolder } from "./files.js";
import { canReach, type Identity } from "./identity.js";

/** The cluster's real folder, whether or not it exists yet, and the owner of an existing one. */
export type ClusterPlace = { readonly folder: string; readonly owner: number | undefined };

/**
 * Looks where the cluster is: `<dataDir>/postgres`, or where that links to. Throws when the link leads to a place
 * that is gone, since a new, empty database in its stead would be a surprise.
 */
export const findCluster = (dataDir: string): ClusterPlace => {
  const name = join(dataDir, "postgres");
  const found = statIfThere(name);
  if (found === undefined || found.isDirectory()) return { folder: name, owner: found?.uid };
  if (!found.isSymbolicLink()) throw new Error(`${name} is not a folder, so no Postgres can be started in it.`);
  const folder = resolve(dataDir, readlinkSync(name));
  if (statIfThere(dirname(folder)) === undefined) {
    throw new Error(`The database in ${folder} is gone. Remove the link ${name} to start with an empty one.`);
  }
  return { folder, owner: statIfThere(folder)?.uid };
};

/**
 * Decides where a new cluster goes. Where the identity cannot pass through the folders above `dataDir`, the cluster
 * goes elsewhere and `<dataDir>/postgres` becomes a link to it, made first so that no later start overlooks it.
 */
export const placeCluster = (dataDir: string, found: string, identity: Identity): string => {
  if (canReach(identity, dirname(found))) return found;
  const hash = createHash("sha256").update(realpathSync(dataDir)).digest("hex").slice(0, 12);
  const home = join(sharedFolder(), `${hash}-${randomBytes(4).toString("hex")}`);
  mkdirSync(home);
  chmodSync(home, 0o755);
  const folder = join(home, "postgres");
  symlinkSync(folder, join(dataDir, "postgres"));
  syncFolder(dataDir);
  return folder;
};

/**
 * A folder of root's that every user may pass through. Root only. Since programs in it are run by root, it is used
 * only when nobody else can write there.
 */
export const sharedFolder = (): string => {
  try {
    return makeShared("/var/lib/rotor");
  } catch (error) {
    if (!hasCode(error, "EROFS", "EACCES", "ENOENT", "EPERM")) throw error;
    return makeShared(join(tmpdir(), "rotor-root"));
  }
};

const makeShared = (folder: string): string => {
  mkdirSync(folder, { recursive: true });
  const { uid, mode } = lstatSync(folder);
  if (uid !== 0 || (mode & 0o022) !== 0 || !lstatSync(folder).isDirectory()) {
    throw new Error(`${folder} must be a folder that root owns and nobody else can write.`);
  }
  chmodSync(folder, 0o755);
  return folder;
};

/** The kernel's limit of a socket's path in bytes, without the ending zero. */
const LONGEST_SOCKET = process.platform === "darwin" ? 103 : 107;

/**
 * The folder of the Unix socket: the cluster itself, which only its user may enter, or a private one with a fixed
 * name among the temporary files where the path would be too long.
 */
export const socketFolder = (cluster: string, identity: Identity): string => {
  if (Buffer.byteLength(join(cluster, ".s.PGSQL.5432")) <= LONGEST_SOCKET) return cluster;
  const hash = createHash("sha256").update(cluster).digest("hex").slice(0, 16);
  const base = Buffer.byteLength(tmpdir()) > 60 ? "/tmp" : tmpdir();
  const folder = join(base, `rotor-${hash}`);
  const [uid, gid] =
    identity.kind === "switched" ? [identity.uid, identity.gid] : [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  try {
    mkdirSync(folder, { mode: 0o700 });
    chownSync(folder, uid, gid);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  const stat = lstatSync(folder);
  // Anyone may make names there: a folder of someone else would let them stand between us and Postgres.
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0) {
    throw new Error(`${folder} must be a private folder (mode 0700) of user ${uid}, for the socket of Postgres.`);
  }
  return folder;
};

/** Removes a socket's folder of which Postgres has gone, unless it is the cluster itself. */
export const removeSocketFolder = (folder: string, cluster: string): void => {
  if (folder === cluster) return;
  try {
    rmdirSync(folder);
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTEMPTY")) throw error;
  }
};

const statIfThere = (path: string) => lstatSync(path, { throwIfNoEntry: false });
