/**
 * What the operating system says about a process id. Ids are given out again, so an id alone proves nothing:
 * a process is known by its id and the moment of its start. It starts and ends no process.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { hasCode, readIfThere } from "./files.js";

/** A process that runs (a zombie does not). */
export type ProcessFacts = {
  /** Another text for each process that ever had this id, over restarts of the machine too; "" where it is not known. */
  readonly birth: string;
  /** Its arguments, the program first; undefined where they cannot be read. */
  readonly args: readonly string[] | undefined;
};

/** The process with this id, or undefined when none runs. */
export const findProcess = (pid: number): ProcessFacts | undefined => {
  if (process.platform === "linux") return findInProc(pid);
  if (!hasProcess(pid)) return undefined;
  if (process.platform === "win32") return { birth: "", args: undefined };
  return askPs(pid);
};

/** Whether the id is taken at all, by a zombie too: the test that Postgres itself makes of its lock file. */
export const hasProcess = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, "EPERM");
  }
};

const findInProc = (pid: number): ProcessFacts | undefined => {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the program's name in brackets and may hold anything, so that fields are counted after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[19]];
  if (state === "Z" || state === "X") return undefined;
  const args = readIfThere(`/proc/${pid}/cmdline`)?.split("\0");
  return { birth: `${bootId()}/${startTicks}`, args };
};

/** Start times count from the boot, so the boot is part of them. */
const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

const askPs = (pid: number): ProcessFacts | undefined => {
  const ask = (column: string) =>
    spawnSync("ps", ["-ww", "-o", `${column}=`, "-p", String(pid)], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
    }).stdout?.trim() ?? "";
  if (ask("state").startsWith("Z")) return undefined;
  return { birth: ask("lstart"), args: ask("command").split(" ") };
};
