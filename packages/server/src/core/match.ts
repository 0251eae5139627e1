/**
 * Which event ends which wait, and which trigger starts a run. CEL by a library; an object of equalities without it.
 * A missing field or a type mismatch is no match, never an error: one bad expression must fail alone.
 */
import type { ASTNode } from "@marcbachmann/cel-js";
import type { MatchObject } from "@rotorsh/sdk/protocol";
import { parserOver } from "./expression.js";
import type { Equality } from "./wait-key.js";

/** An event as an expression sees it: `event`, and `data` for `event.data`. */
export type MatchedEvent = { readonly id: string; readonly name: string; readonly data: unknown; readonly ts: number };

/** A condition as it is stored. `trigger` is there only where the expression speaks of it. */
export type Match = {
  readonly cel?: string;
  readonly equals?: MatchObject;
  readonly trigger?: MatchedEvent;
  /** It has no equality that could index it: every event of the name is tested against it. */
  readonly unindexed?: true;
};

/** `equalities` are those of which each event that matches meets all: any one of them can index it. */
export type Compiled =
  | {
      readonly ok: true;
      readonly match: Match;
      readonly equalities: readonly Equality[];
      /** The first of them. */
      readonly equality: Equality | undefined;
    }
  | { readonly ok: false; readonly message: string };

const parse = parserOver(["event", "data", "trigger"]);

/** Says what is wrong with an expression, or nothing. For what is stored long before it is used, such as triggers. */
export function checkExpression(expression: string): string | undefined {
  try {
    const result = parse(expression).check();
    if (!result.valid) return message(result.error);
    return result.type === "bool" || result.type === "dyn"
      ? undefined
      : `The expression gives ${result.type}; it must give true or false.`;
  } catch (error) {
    return message(error);
  }
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Checks a wait's condition when it is stored, and finds the equalities that may index it. */
export function compile(match: string | MatchObject | undefined, trigger: MatchedEvent): Compiled {
  if (match === undefined) return { ok: true, match: {}, equalities: [], equality: undefined };
  if (typeof match !== "string") {
    const found = Object.entries(match).map(([path, value]) => ({ path, value }));
    return { ok: true, match: { equals: match }, equalities: found, equality: found[0] };
  }
  const wrong = checkExpression(match);
  if (wrong !== undefined) return { ok: false, message: `match ${JSON.stringify(match)}: ${wrong}` };
  const ast = parse(match).ast;
  const found = equalities(ast, trigger);
  const stored: Match = {
    cel: match,
    ...(usesTrigger(ast) && { trigger }),
    ...(found.length === 0 && { unindexed: true as const }),
  };
  return { ok: true, match: stored, equalities: found, equality: found[0] };
}

/** The `path == literal` parts of a stored condition, for who explains it. */
export const equalitiesOf = (match: Match): Equality[] =>
  match.cel === undefined
    ? []
    : equalities(parse(match.cel).ast, match.trigger ?? { id: "", name: "", data: null, ts: 0 });

/** What stands at a path of names with dots between them; undefined where nothing does. */
export const valueAt = (data: unknown, path: string): unknown => at(data, path.split("."));

/** True where the event meets the condition. Anything that an expression throws is no match. */
export function matches(match: Match, event: MatchedEvent): boolean {
  if (match.equals !== undefined) {
    return Object.entries(match.equals).every(([path, value]) => same(at(event.data, path.split(".")), value));
  }
  if (match.cel === undefined) return true;
  return evaluates(match.cel, { event, data: event.data, trigger: match.trigger ?? null });
}

/** A trigger's condition on the event in hand. */
export const triggers = (condition: string | null, event: MatchedEvent): boolean =>
  condition === null || evaluates(condition, { event, data: event.data, trigger: null });

function evaluates(expression: string, context: Record<string, unknown>): boolean {
  try {
    return parse(expression)(context) === true;
  } catch {
    // As CEL has it, a missing field is an error; as a condition it says no.
    return false;
  }
}

const same = (found: unknown, wanted: unknown): boolean => found === wanted;

function at(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const name of path) {
    if (here === null || typeof here !== "object" || Array.isArray(here) || !Object.hasOwn(here, name))
      return undefined;
    here = (here as Record<string, unknown>)[name];
  }
  return here;
}

/** The `path == literal` parts that are joined by `&&` only: if one does not hold, the whole does not. */
function equalities(ast: ASTNode, trigger: MatchedEvent): Equality[] {
  if (ast.op === "&&") return ast.args.flatMap((side) => equalities(side, trigger));
  if (ast.op !== "==") return [];
  const [left, right] = ast.args;
  return [equality(left, right, trigger) ?? equality(right, left, trigger)].filter((found) => found !== undefined);
}

function equality(field: ASTNode, other: ASTNode, trigger: MatchedEvent): Equality | undefined {
  const path = pathOf(field);
  const below =
    path?.[0] === "data" ? path.slice(1) : path?.[0] === "event" && path[1] === "data" ? path.slice(2) : undefined;
  if (below === undefined || below.length === 0 || below.some((name) => name.includes("."))) return undefined;
  const value = literal(other, trigger);
  return value === undefined ? undefined : { path: below.join("."), value };
}

function pathOf(node: ASTNode): string[] | undefined {
  if (node.op === "id") return [node.args];
  if (node.op !== ".") return undefined;
  const before = pathOf(node.args[0]);
  return before && [...before, node.args[1]];
}

/** A value that is known when the wait is stored: a literal, or a field of the run's own event. */
function literal(node: ASTNode, trigger: MatchedEvent): Equality["value"] | undefined {
  if (node.op === "value") {
    const value = node.args;
    if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
    return value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean"
      ? value
      : undefined;
  }
  const path = pathOf(node);
  if (path?.[0] !== "trigger") return undefined;
  const found = at({ ...trigger }, path.slice(1));
  return found === null || typeof found === "string" || typeof found === "number" || typeof found === "boolean"
    ? found
    : undefined;
}

function usesTrigger(node: unknown): boolean {
  if (Array.isArray(node)) return node.some(usesTrigger);
  if (node === null || typeof node !== "object" || !("op" in node) || !("args" in node)) return false;
  return (node.op === "id" && node.args === "trigger") || usesTrigger(node.args);
}
