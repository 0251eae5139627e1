/** What the stand-ins of a page's own code were asked to do, for its test. */

export type Call = readonly [name: string, ...args: unknown[]];

const calls: Call[] = [];
const failures = new Map<string, Error[]>();

/** The calls since the last look. */
export const callsSince = (): Call[] => calls.splice(0);

/** Lets the next calls of this name throw, one error each. */
export const failNext = (name: string, ...errors: Error[]): void => void failures.set(name, errors);

/** Notes a call; throws where the test wants it to. */
export function called(name: string, ...args: unknown[]): void {
  calls.push([name, ...args]);
  const error = failures.get(name)?.shift();
  if (error) throw error;
}
