/** Warnings about a mistake in the set-up, each said once a process. Not a logger: what happens to jobs is the server's to tell. */

const said = new Set<string>();

/** Prints `message` to the console unless a warning of this `topic` has been printed before. */
export function warnOnce(topic: string, message: string): void {
  if (said.has(topic)) return;
  said.add(topic);
  console.warn(`[rotor] ${message}`);
}
