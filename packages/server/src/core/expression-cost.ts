/** Expressions that could hold up the server for longer than a moment, told when they are stored. Pure. */
import type { ASTNode } from "@marcbachmann/cel-js";

/** Macros that go through a list. One within another multiplies their lists, which a user's payload makes long. */
const LOOPS = new Set(["all", "exists", "exists_one", "existsOne", "map", "filter"]);

/** What an expression may not do, or nothing. */
export function tooCostly(ast: ASTNode): string | undefined {
  if (calls(ast, "matches"))
    return "matches(…) is not supported: a regular expression can take for ever. Compare with ==, startsWith, endsWith or contains.";
  return loops(ast) > 1 ? "A loop within a loop (all, exists, map, filter) is not supported." : undefined;
}

/** How deep loops stand in each other. */
function loops(node: unknown): number {
  if (Array.isArray(node)) return Math.max(0, ...node.map(loops));
  if (!isNode(node)) return 0;
  if (node.op !== "rcall" || !Array.isArray(node.args)) return loops(node.args);
  const [name, receiver, params] = node.args as [string, unknown, unknown];
  const inside = loops(params) + (LOOPS.has(name) ? 1 : 0);
  return Math.max(loops(receiver), inside);
}

function calls(node: unknown, wanted: string): boolean {
  if (Array.isArray(node)) return node.some((each) => calls(each, wanted));
  if (!isNode(node)) return false;
  const named = (node.op === "rcall" || node.op === "call") && Array.isArray(node.args) && node.args[0] === wanted;
  return named || calls(node.args, wanted);
}

const isNode = (node: unknown): node is { readonly op: string; readonly args: unknown } =>
  node !== null && typeof node === "object" && "op" in node && "args" in node;
