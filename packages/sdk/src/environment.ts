/** The app's own environment variables, on any runtime. Nothing is read at import. */

type Variables = Readonly<Record<string, unknown>>;

const processVariables = (): Variables => (globalThis as { process?: { env?: Variables } }).process?.env ?? {};

/**
 * The variable's text, or undefined where it is missing or empty.
 * @param env what the platform hands to a handler beside the request (Workers' bindings); it wins over the process's.
 */
export function readVariable(name: string, env?: unknown): string | undefined {
  const given = typeof env === "object" && env !== null ? (env as Variables)[name] : undefined;
  const value = typeof given === "string" ? given : processVariables()[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
