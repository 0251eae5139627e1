/** CEL by a library, bounded and parsed once: what conditions on events and keys of rates have in common. */
import { Environment, type ParseResult } from "@marcbachmann/cel-js";
import { tooCostly } from "./expression-cost.js";
import { limits } from "./limits.js";

/** Expressions are few, and each is used often. */
const PARSED_KEPT = 1_000;

/**
 * A parser of expressions over these variables.
 * @throws Error from what it returns: a sentence that says what is wrong with the expression.
 */
export function parserOver(variables: readonly string[]): (expression: string) => ParseResult {
  const environment = new Environment({
    unlistedVariablesAreDyn: false,
    limits: { maxAstNodes: limits.expressionNodes, maxDepth: limits.expressionDepth },
  });
  for (const name of variables) environment.registerVariable(name, "dyn");
  const parsed = new Map<string, ParseResult>();
  return (expression) => {
    const known = parsed.get(expression);
    if (known !== undefined) return known;
    // The length is tested before the parser allocates anything.
    if (expression.length > limits.expressionLength)
      throw new Error(
        `An expression may have ${limits.expressionLength} characters; this one has ${expression.length}.`,
      );
    const made = environment.parse(expression);
    const costly = tooCostly(made.ast);
    if (costly !== undefined) throw new Error(costly);
    if (parsed.size >= PARSED_KEPT) parsed.delete(parsed.keys().next().value!);
    parsed.set(expression, made);
    return made;
  };
}
