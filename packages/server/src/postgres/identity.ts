/**
 * As whom Postgres runs. It refuses root, so a Rotor that runs as root (in a container, say) needs another user id
 * for it. This file decides and wraps commands; it changes no owner of a file.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname } from "node:path";

/**
 * - `self`: as we are.
 * - `mapped`: in a user namespace where our own id has another number, which satisfies Postgres; on disk every file
 *   stays ours. `fileUid` is the id outside. Such a process has none of root's privileges over files of others.
 * - `switched`: really as another user, who must own the cluster and be able to reach it.
 */
export type Identity =
  | { readonly kind: "self" }
  | { readonly kind: "mapped"; readonly uid: number; readonly fileUid: number; readonly fileGid: number }
  | { readonly kind: "switched"; readonly uid: number; readonly gid: number };

export type Command = {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: { readonly uid?: number; readonly gid?: number };
};

/** The command that runs a program as this identity, by one exec or none: the process id is that of the program. */
export const commandAs = (identity: Identity, file: string, args: readonly string[]): Command => {
  switch (identity.kind) {
    case "self":
      return { file, args, options: {} };
    case "mapped": {
      const map = [`--map-user=${identity.uid}`, `--map-group=${identity.uid}`];
      return { file: "unshare", args: ["--user", ...map, "--", file, ...args], options: {} };
    }
    case "switched":
      return { file, args, options: { uid: identity.uid, gid: identity.gid } };
  }
};

/**
 * Chooses as whom to run. `clusterOwner` is the owner of the cluster where one exists: a cluster made under another
 * id by an earlier start keeps it. Throws when the cluster belongs to someone whom we cannot become.
 */
export const chooseIdentity = (clusterOwner: number | undefined): Identity => {
  const uid = process.geteuid?.();
  const gid = process.getegid?.();
  if (uid === undefined || gid === undefined) return { kind: "self" };
  if (uid !== 0) {
    if (clusterOwner !== undefined && clusterOwner !== uid) {
      throw new Error(
        `The embedded Postgres belongs to user ${clusterOwner} and Rotor runs as user ${uid}. Run it as ${clusterOwner}, or change the owner of the data folder with chown -R.`,
      );
    }
    // initdb insists on a name for its user id, which an arbitrary id in a container does not have.
    return hasName() ? { kind: "self" } : (mapped(uid, gid) ?? { kind: "self" });
  }
  if (clusterOwner !== undefined && clusterOwner !== 0) {
    return { kind: "switched", uid: clusterOwner, gid: groupOf(clusterOwner) };
  }
  return mapped(uid, gid) ?? switched();
};

/** As another user: by its own name where the system has one for Postgres, else nobody. Root only. */
export const switched = (): Identity => {
  const uid = otherUser();
  return { kind: "switched", uid, gid: groupOf(uid) };
};

const mapped = (fileUid: number, fileGid: number): Identity | undefined => {
  if (process.platform !== "linux") return undefined;
  const identity: Identity = { kind: "mapped", uid: otherUser(), fileUid, fileGid };
  // Containers often forbid user namespaces, and old or small systems have no such unshare: only trying tells.
  const { file, args } = commandAs(identity, "/proc/self/exe", ["--version"]);
  return spawnSync(file, args, { stdio: "ignore", cwd: "/" }).status === 0 ? identity : undefined;
};

const NOBODY = 65_534;

const otherUser = (): number => passwdEntries().find(({ name }) => name === "postgres")?.uid || NOBODY;

const groupOf = (uid: number): number => passwdEntries().find((entry) => entry.uid === uid)?.gid ?? uid;

const passwdEntries = (): { name: string; uid: number; gid: number }[] => {
  let text = "";
  try {
    text = readFileSync("/etc/passwd", "utf8");
  } catch {
    // The smallest images have no such file, and then no names either.
  }
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid] = line.split(":");
    return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
};

const hasName = (): boolean => {
  try {
    return userInfo().username !== "";
  } catch {
    // Node throws exactly when the system has no entry for the user.
    return false;
  }
};

/**
 * Whether the identity may pass through this existing folder and each one above it, by owner, group and mode;
 * privileges and access lists are left out, so that the answer may be no where the truth is yes.
 */
export const canReach = (identity: Identity, folder: string): boolean => {
  if (identity.kind === "self") return true;
  const [uid, gid] = identity.kind === "mapped" ? [identity.fileUid, identity.fileGid] : [identity.uid, identity.gid];
  for (let at = realpathSync(folder); ; at = dirname(at)) {
    const { uid: owner, gid: group, mode } = statSync(at);
    const mask = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001;
    if ((mode & mask) === 0) return false;
    if (at === dirname(at)) return true;
  }
};
