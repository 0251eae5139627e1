/**
 * Expressions that could hold up the server for longer than a moment, told when they are stored. Pure.
 *
 * The library bounds how long an expression is, not how often it goes through a mebibyte of data, so these rules keep its
 * cost in line with the data's size: a condition that is found false by 50,000 elements in 50,000 took over a minute.
 */
import type { ASTNode } from "@marcbachmann/cel-js";
import { limits } from "./limits.js";

/** Macros that go through a list. One within another multiplies their lists, which a user's payload makes long. */
const LOOPS = new Set(["all", "exists", "exists_one", "existsOne", "map", "filter"]);

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);

/** What an expression may not do, or nothing. */
export function tooCostly(ast: ASTNode): string | undefined {
  if (calls(ast, "matches"))
    return "matches(…) is not supported: a regular expression can take for ever. Compare with ==, startsWith, endsWith or contains.";
  if (calls(ast, "join")) return "join(…) is not supported: what it makes can be far larger than the data.";
  const nested = loops(ast).map((loop) => refusalOf(loop));
  const found = nested.find((refusal) => refusal !== undefined);
  if (found !== undefined) return found;
  const count = walks(ast);
  return count > limits.expressionWalks
    ? `An expression may have ${limits.expressionWalks} calls, loops, "in" and "+"; this one has ${count}.`
    : undefined;
}

type Node = { readonly op: string; readonly args: unknown };
type Loop = { readonly receiver: unknown; readonly own: string; readonly bodies: readonly Node[] };

const isNode = (node: unknown): node is Node =>
  node !== null && typeof node === "object" && "op" in node && "args" in node;

/** The nodes right below. */
const below = ({ args }: Node): Node[] => [args].flat(3).filter(isNode);

const all = (node: Node): Node[] => [node, ...below(node).flatMap(all)];

const nameOf = ({ op, args }: Node): string | undefined =>
  (op === "rcall" || op === "call") && Array.isArray(args) ? String(args[0]) : undefined;

const calls = (ast: Node, wanted: string): boolean => all(ast).some((node) => nameOf(node) === wanted);

/** How often an expression may go through a text or a list, or make a longer one. */
const walks = (ast: Node): number =>
  all(ast).filter((node) => node.op === "+" || node.op === "in" || ![undefined, "has"].includes(nameOf(node))).length;

function loopOf(node: Node): Loop | undefined {
  if (node.op !== "rcall" || !LOOPS.has(nameOf(node)!)) return undefined;
  const [, receiver, params] = node.args as [string, unknown, readonly Node[]];
  return { receiver, own: String(params[0]?.args), bodies: params.slice(1) };
}

const loops = (ast: Node): Loop[] => all(ast).flatMap((node) => loopOf(node) ?? []);

/** Why a loop may cost more than its list. */
function refusalOf({ receiver, own, bodies }: Loop): string | undefined {
  if (bodies.some((body) => loops(body).length > 0))
    return "A loop within a loop (all, exists, map, filter) is not supported.";
  // Each of several in a row could double what it is given.
  if (isNode(receiver) && calls(receiver, "map"))
    return "A loop over what map(…) gives is not supported: filter first, and map last.";
  return bodies.every((body) => isBounded(body, own))
    ? undefined
    : `In a loop (all, exists, map, filter) what is not its ${own} can only be compared to it: with == and its like, not by "in", "+" or a call.`;
}

/**
 * Whether a loop's body costs no more than its element each time. What stands outside may be as long as all of the data,
 * so it may only be compared to something of the element's: that ends where the shorter of the two does.
 */
function isBounded(node: Node, own: string): boolean {
  switch (node.op) {
    case "id":
      return node.args === own;
    case "&&":
    case "||":
    case "!_":
      return below(node).every((side) => isOutside(side, own) || isBounded(side, own));
  }
  if (nameOf(node) === "has") return true;
  if (!COMPARISONS.has(node.op)) return below(node).every((each) => isBounded(each, own));
  const sides = below(node);
  return (
    sides.some((side) => isBounded(side, own)) && sides.every((side) => isOutside(side, own) || isBounded(side, own))
  );
}

/** A path of what stands outside, such as `trigger.data.id`, or an element of it that the loop's own names. */
function isOutside(node: Node, own: string): boolean {
  if (node.op === "id") return node.args !== own;
  if (node.op !== "." && node.op !== "[]") return false;
  const [receiver, ...indexes] = below(node);
  return receiver !== undefined && isOutside(receiver, own) && indexes.every((index) => isBounded(index, own));
}
