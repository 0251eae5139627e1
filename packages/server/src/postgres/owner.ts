/**
 * One Rotor process for each data folder, by the file `owner.json`. It speaks of Rotor's own process only:
 * a Postgres may outlive its owner and is then found again by the next one.
 */
import { randomUUID } from "node:crypto";
import { linkSync, readdirSync, renameSync, rmSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { createWhole, hasCode, readIfThere } from "./files.js";
import { findProcess } from "./processes.js";

type OwnerRecord = {
  readonly pid: number;
  /** See `ProcessFacts.birth`. */
  readonly birth: string;
  /** Tells two claims by one process apart. */
  readonly claim: string;
};

export type Ownership = {
  /** Throws when another process has taken the folder since; to be called once, just before relying on it. */
  confirm(): void;
  /** Gives the folder free. Calling it again is harmless. */
  release(): void;
};

/** Takes the folder for this process, also from an owner that is gone. Throws a sentence that names a living owner. */
export const takeOwnership = (dataDir: string): Ownership => {
  const file = join(dataDir, "owner.json");
  const mine: OwnerRecord = { pid: process.pid, birth: findProcess(process.pid)?.birth ?? "", claim: randomUUID() };
  const text = JSON.stringify(mine);
  while (!createWhole(file, text)) {
    const found = readIfThere(file);
    if (found === undefined) continue;
    const holder = parseRecord(found);
    if (holder !== undefined && isRunning(holder)) throw new Error(sentenceAbout(holder, dataDir));
    takeAway(file, found);
  }
  removeDrafts(dataDir);
  return {
    confirm: () => {
      const found = readIfThere(file);
      if (found === text) return;
      const holder = found === undefined ? undefined : parseRecord(found);
      throw new Error(holder ? sentenceAbout(holder, dataDir) : `${file} was removed while Rotor was starting.`);
    },
    release: () => {
      if (readIfThere(file) === text) unlinkSync(file);
    },
  };
};

/**
 * Removes a dead owner's record, and that one only. Between reading and moving it another process may have put its
 * own there, which then is put back; `confirm` finds out the remaining case, a third process in the gap between.
 */
const takeAway = (file: string, expected: string): void => {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  try {
    if (readIfThere(aside) !== expected) linkSync(aside, file);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  } finally {
    unlinkSync(aside);
  }
};

/** A process that was killed between two calls leaves a draft; one of this age belongs to nobody. */
const DRAFT_AGE_MS = 60_000;

const removeDrafts = (dataDir: string): void => {
  for (const name of readdirSync(dataDir)) {
    if (!name.startsWith("owner.json.")) continue;
    const draft = join(dataDir, name);
    const written = statSync(draft, { throwIfNoEntry: false })?.mtimeMs;
    if (written !== undefined && Date.now() - written > DRAFT_AGE_MS) rmSync(draft, { force: true });
  }
};

const isRunning = ({ pid, birth }: OwnerRecord): boolean => findProcess(pid)?.birth === birth;

const sentenceAbout = (holder: OwnerRecord, dataDir: string): string =>
  holder.pid === process.pid
    ? `This process (${holder.pid}) has already started the Postgres in ${dataDir}.`
    : `Another Rotor (process ${holder.pid}) is using ${dataDir}. Stop it, or give this one a folder of its own (ROTOR_DATA_DIR).`;

const parseRecord = (text: string): OwnerRecord | undefined => {
  try {
    const { pid, birth, claim } = JSON.parse(text) as Partial<OwnerRecord>;
    if (typeof pid !== "number" || typeof birth !== "string" || typeof claim !== "string") return undefined;
    return { pid, birth, claim };
  } catch {
    // Records are written whole, so one that is no JSON was not made by a Rotor and protects nobody.
    return undefined;
  }
};
