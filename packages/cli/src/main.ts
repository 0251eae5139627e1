/** The composition of the `rotor` command: its commands, where it prints, and its exit codes. */

import { homedir } from "node:os";
import { Command, CommanderError } from "commander";
import { wantsColour } from "./colours.js";
import { addAdopt } from "./commands/adopt.js";
import { addApprovals } from "./commands/approvals.js";
import { addCheck } from "./commands/check.js";
import { addConcurrencyKeys } from "./commands/concurrency-keys.js";
import { addDev } from "./commands/dev.js";
import { addDeadLetters } from "./commands/dlq.js";
import { addDoctor } from "./commands/doctor.js";
import { addEvents } from "./commands/events.js";
import { addFunctions } from "./commands/functions.js";
import { addJobs } from "./commands/jobs.js";
import { addKeys } from "./commands/keys.js";
import { addLogin } from "./commands/login.js";
import { addMigrate } from "./commands/migrate.js";
import { addQueues } from "./commands/queues.js";
import { addRuns } from "./commands/runs.js";
import { addSchedules } from "./commands/schedules.js";
import { addSecrets } from "./commands/secrets.js";
import { addSend } from "./commands/send.js";
import { addSignals } from "./commands/signals.js";
import { addStart } from "./commands/start.js";
import { addTail } from "./commands/tail.js";
import { addWebhooks } from "./commands/webhooks.js";
import { addWhy } from "./commands/why.js";
import { addWorkspaces } from "./commands/workspaces.js";
import { type Context, settingsOf } from "./context.js";
import { failureOf, UsageError } from "./failure.js";
import { readInput, readSecret } from "./input.js";
import { cleanLines } from "./output.js";
import { VERSION } from "./version.js";

/** In the order in which help shows them. */
const COMMANDS = [
  addDev,
  addStart,
  addTail,
  addWhy,
  addSend,
  addQueues,
  addJobs,
  addConcurrencyKeys,
  addDeadLetters,
  addSchedules,
  addFunctions,
  addCheck,
  addRuns,
  addEvents,
  addSignals,
  addApprovals,
  addWebhooks,
  addSecrets,
  addKeys,
  addWorkspaces,
  addMigrate,
  addAdopt,
  addDoctor,
  addLogin,
];

/** The program with all its commands; they are carried out by `run`. */
export function programOf(context: Context): Command {
  const program = new Command("rotor")
    .description("Background jobs and durable workflows over HTTP, on Postgres.")
    .version(VERSION, "-v, --version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out(text.trimEnd()),
      // What was misspelt is quoted, and may hold anything.
      writeErr: (text) => context.err(cleanLines(text.trimEnd())),
    });
  for (const add of COMMANDS) add(program, context);
  return program;
}

/** Help and version were asked for, and are no failures; help for want of a command is. */
const ASKED_FOR = new Set(["commander.helpDisplayed", "commander.version"]);

function baseUrlOf(context: Context): string {
  try {
    return settingsOf(context).baseUrl;
  } catch (error) {
    // The settings are what is wrong: then no server was spoken to.
    if (error instanceof UsageError) return "";
    throw error;
  }
}

/** Runs one command and gives its exit code: 0 it worked, 1 it failed, 2 it was called wrongly. */
export async function run(argv: readonly string[], context: Context): Promise<0 | 1 | 2> {
  let code: 0 | 1 = 0;
  const program = programOf({ ...context, exitWith: (wanted) => (code = wanted) });
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    // Commander has told it already.
    if (error instanceof CommanderError) return ASKED_FOR.has(error.code) ? 0 : 2;
    const { message, exitCode } = failureOf(error, baseUrlOf(context));
    context.err(cleanLines(message));
    return exitCode;
  }
}

/** The command of this process: its environment, its streams. */
export function main(argv: readonly string[]): Promise<0 | 1 | 2> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever read has had enough, as in `rotor tail | head`.
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return run(argv, {
    env: process.env,
    home: homedir(),
    cwd: process.cwd(),
    out: (text) => process.stdout.write(`${text}\n`),
    err: (text) => process.stderr.write(`${text}\n`),
    readInput,
    readSecret,
    isColoured: wantsColour(process.stdout.isTTY === true, process.env),
    exitWith: () => undefined,
  });
}
