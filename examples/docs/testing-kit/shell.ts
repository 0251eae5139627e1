/** The commands of a block of shell: `rotor` in this process, since starting it some hundred times takes a minute; else a real shell. */
import { spawn } from "node:child_process";
import { call } from "../../../packages/cli/src/testing-kit/context.js";

/** One command a line; a line that ends in a backslash goes on, and so does a quoted text. */
export function commandsOf(block: string): string[] {
  const commands: string[] = [];
  let open = "";
  for (const line of block.split("\n")) {
    open += line;
    if (open.endsWith("\\")) {
      open = open.slice(0, -1);
      continue;
    }
    if ((open.split("'").length - 1) % 2 === 1) {
      open += "\n";
      continue;
    }
    if (open.trim() !== "" && !open.trim().startsWith("#")) commands.push(open.trim());
    open = "";
  }
  return commands;
}

/** The words of a simple command, as a shell reads them: quotes, and a comment at its end. */
export function wordsOf(command: string): string[] {
  const words = [...command.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) => word);
  const comment = words.findIndex((word) => word.startsWith("#"));
  return (comment === -1 ? words : words.slice(0, comment)).map((word) =>
    word.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2"),
  );
}

/** Carries out one command; throws with what it said where it ends with another exit code. Answers what it printed. */
export async function perform(command: string, env: Record<string, string>, expected = 0): Promise<string> {
  const [first, second, ...rest] = wordsOf(command);
  if (first === "npx" && second === "rotor") {
    const { code, out, err } = await call(rest, { env });
    if (code !== expected) throw new Error(`${command}: exit code ${code}\n${err}\n${out}`);
    return out;
  }
  const child = spawn("bash", ["-c", command], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await Promise.all([collect(child.stdout), collect(child.stderr)]);
  const code = child.exitCode ?? (await new Promise<number | null>((resolve) => child.once("exit", resolve)));
  if (code !== expected) throw new Error(`${command}: exit code ${code}\n${err}\n${out}`);
  return out;
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += chunk;
  return text;
}
