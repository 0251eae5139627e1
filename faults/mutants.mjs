// `npm run faults -- mutants [--count 5] [--named text] --seed 7`: plants bugs, one at a time, in a copy of what is built, and plays
// the scenario that must find each. A judge is trusted only as long as all are found, and as nothing is found where nothing is planted.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../scripts/install.mjs";
import { diceOf } from "./log.mjs";
import { MUTANTS, SCENES } from "./mutants-list.mjs";
import { playOnce } from "./play.mjs";

/** Without it no clock can be set. */
const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const MOST_SECONDS = 60;

export const nodes = 3;
export const options = {
  /** So many, drawn by the seed; all, where it is left out. */
  count: { type: "string" },
  named: { type: "string" },
  /** `off`: the scenes are not played without a bug before. */
  control: { type: "string", default: "on" },
};

/** `record` keeps a line for each in the ledger, where that is wanted. */
export async function playAll({ values, record }) {
  const problems = [];
  const chosen = drawn(
    MUTANTS.filter(({ name }) => values.named === undefined || name.includes(values.named)),
    values,
  );
  const scenes = values.control === "off" ? [] : new Set(chosen.map(({ scene }) => scene));
  const results = [];
  for (const scene of scenes) {
    const { problems: found, seconds, folder } = await play(scene, root, values.seed);
    const where = found.length === 0 ? "" : `; logs in ${folder}`;
    console.log(`${found.length === 0 ? "clean " : "FOUND "} nothing planted, ${scene}, ${seconds} s${where}`);
    for (const problem of found) {
      console.log(`       ${JSON.stringify(problem).slice(0, 400)}`);
      problems.push({ problem: "something is found where nothing is planted", scene, found: problem });
    }
  }
  for (const mutant of chosen) {
    const { name, scene } = mutant;
    if (scene === "clock" && !existsSync(FAKETIME)) {
      console.log(`unfit  ${name}: there is no libfaketime here`);
      continue;
    }
    const tree = copyOfTree();
    try {
      plant(tree, mutant);
      const { problems: all, playedMs } = await play(scene, tree, values.seed);
      const seconds = Math.round(playedMs / 1_000);
      const found = [...new Set(all.map((each) => each.verdict))];
      const caught = found.some((verdict) => mutant.found.includes(verdict)) && seconds <= MOST_SECONDS;
      const line = { scenario: "mutant", mutant: name, scene, seed: values.seed, seconds, found, caught };
      results.push(line);
      record(line);
      console.log(
        `${caught ? "caught" : "MISSED"} ${name}: ${found.join(", ") || "nothing"} by ${scene} in ${seconds} s`,
      );
      if (!caught) problems.push({ problem: "a planted bug was not found", ...line });
    } catch (error) {
      problems.push({ problem: "a mutant cannot be planted", mutant: name, error: error.message });
    } finally {
      rmSync(tree, { recursive: true, force: true });
    }
  }
  const caught = results.filter((each) => each.caught);
  const slowest = Math.max(0, ...results.map(({ seconds }) => seconds));
  return {
    problems,
    seconds: results.reduce((sum, each) => sum + each.seconds, 0),
    figures: { mutants: chosen.length, caught: caught.length, slowestSeconds: slowest },
  };
}

function drawn(list, { count, seed }) {
  if (count === undefined) return list;
  const dice = diceOf(seed, "mutants");
  const left = [...list];
  return Array.from(
    { length: Math.min(Number(count), list.length) },
    () => left.splice(dice.between(0, left.length - 1), 1)[0],
  );
}

async function play(scene, tree, seed) {
  const { name, values } = SCENES[scene];
  const scenario = await import(`./${name}.mjs`);
  const defaults = Object.fromEntries(
    Object.entries(scenario.options).map(([key, { default: value }]) => [key, value]),
  );
  const outcome = await playOnce({
    scenario,
    tree,
    values: { ...defaults, seed, nodes: scenario.nodes, failpoints: "off", ...values },
  });
  // What was found where nothing is planted wants to be understood.
  if (tree !== root || outcome.problems.length === 0) rmSync(outcome.folder, { recursive: true, force: true });
  return outcome;
}

/** What is built, by itself; the packages that it needs are the original's. */
function copyOfTree() {
  const tree = mkdtempSync(join(tmpdir(), "rotor-mutant-"));
  const modules = join(tree, "node_modules");
  mkdirSync(join(modules, "@rotorsh"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules")))
    if (name !== "@rotorsh") symlinkSync(join(root, "node_modules", name), join(modules, name));
  for (const name of ["cli", "sdk", "server"]) {
    const from = join(root, "packages", name);
    const to = join(tree, "packages", name);
    for (const part of readdirSync(from)) {
      if (part === "src") continue;
      if (part === "node_modules") {
        mkdirSync(to, { recursive: true });
        symlinkSync(join(from, part), join(to, part));
      } else cpSync(join(from, part), join(to, part), { recursive: true });
    }
    symlinkSync(to, join(modules, "@rotorsh", name));
  }
  return tree;
}

/** Changes texts that are there once. Throws where one is not. */
export function plant(tree, { edits }) {
  for (const { file, find, put } of edits) {
    const path = join(tree, file);
    const text = readFileSync(path, "utf8");
    const times = text.split(find).length - 1;
    if (times !== 1) throw new Error(`${file} has this text ${times} times, and not once: ${find}`);
    writeFileSync(
      path,
      text.replace(find, () => put),
    );
  }
}
