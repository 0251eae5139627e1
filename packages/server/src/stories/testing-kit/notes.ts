/** What the code of random programs did and saw, as lines that are only added; and what they come to when all are read. */

/** One line. `by` names the delivery in which the code ran. */
export type Note<By> = { readonly token: string; readonly path: string } & (
  | { readonly what: "ran"; readonly by: By }
  | { readonly what: "saw"; readonly by: By; readonly value: number }
  | { readonly what: "winner"; readonly value: number }
  | { readonly what: "wrong"; readonly why: string }
);

/** Of one program, over all deliveries of its run and its children. */
export type Notes<By> = {
  /** Executions of a step's code that came to a result, by place. */
  readonly executed: Map<string, By[]>;
  /** The winner of each race, by place. */
  readonly winners: Map<string, number>;
  /** The one result that the code saw, by place. */
  readonly seen: Map<string, string>;
  readonly violations: string[];
};

export const newNotes = <By>(): Notes<By> => ({
  executed: new Map(),
  winners: new Map(),
  seen: new Map(),
  violations: [],
});

function once<T>(map: Map<string, T>, path: string, value: T, violations: string[]): void {
  const before = map.get(path);
  if (before !== undefined && before !== value)
    violations.push(`${path}: saw ${String(value)} after ${String(before)}`);
  map.set(path, value);
}

/** Adds a line; what cannot be true beside the lines before it is a violation. */
export function add<By>(notes: Notes<By>, note: Note<By>): void {
  const { executed, seen, winners, violations } = notes;
  const { path } = note;
  if (note.what === "ran") executed.set(path, [...(executed.get(path) ?? []), note.by]);
  else if (note.what === "wrong") violations.push(`${path}: ${note.why}`);
  else if (note.what === "winner") once(winners, path, note.value, violations);
  else once(seen, path, String(note.value), violations);
}
