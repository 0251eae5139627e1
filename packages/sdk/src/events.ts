/** Events with types: a name, the type of its data and, if wanted, a schema that checks it before it is sent. */

import { RotorInputError } from "./errors.js";
import type { Jsonify, Untyped } from "./json.js";

type SchemaResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] }[] };

/** The part of Standard Schema v1 (https://standardschema.dev) that is used here; zod, valibot and arktype follow it. */
export type EventSchema<Input = unknown, Output = unknown> = {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult | Promise<SchemaResult>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
};

type Types<S extends EventSchema> = NonNullable<S["~standard"]["types"]>;

/** An event to publish. */
export type EventToSend<Data = unknown> = {
  readonly name: string;
  readonly data: Data;
  /** Of two events with one id the second does nothing. */
  readonly id?: string;
  /** Unix milliseconds; a time in the future, within a year, delays the event. */
  readonly ts?: number;
  /** Up to 10 texts of up to 64 characters, by which lists can be filtered. */
  readonly tags?: readonly string[];
};

/** Makes an event of its name when called; stands for that name wherever a name is taken. */
export type EventDefinition<Input, Data> = {
  /** @throws RotorInputError when the schema does not accept the data. */
  (data: Input, options?: Pick<EventToSend, "id" | "ts" | "tags">): EventToSend;
  /** The event's name; `name` says the same. */
  readonly eventName: string;
  /** Type only: what a function or a wait receives. */
  readonly received?: Data;
};

/** An event's name, or its definition. */
export type EventName = string | EventDefinition<never, unknown>;

/** The name that either form stands for. */
export const nameOfEvent = (event: EventName): string => (typeof event === "string" ? event : event.eventName);

function check(name: string, schema: EventSchema, data: unknown): unknown {
  const result = schema["~standard"].validate(data);
  if (result instanceof Promise) {
    throw new RotorInputError(`Event "${name}": its schema validates asynchronously; use one that answers at once`);
  }
  if (!result.issues) return result.value;
  const issues = result.issues.map(({ message, path }) => {
    const keys = path?.map((part) =>
      String(typeof part === "object" && part !== null && "key" in part ? part.key : part),
    );
    return keys?.length ? `${keys.join(".")}: ${message}` : message;
  });
  throw new RotorInputError(`Event "${name}": its data does not fit its schema: ${issues.join("; ")}`);
}

/**
 * Describes an event: `const opened = defineEvent("email.opened", schema)`. Then `rotor.send(opened({ … }))`,
 * `trigger: { event: opened }`, `step.waitForEvent("w", { event: opened, timeout: "7d" })`.
 * @param schema any Standard Schema; what it gives back (defaults filled in) is what is sent.
 * @throws RotorInputError for an empty name.
 */
export function defineEvent<S extends EventSchema>(
  name: string,
  schema: S,
): EventDefinition<Types<S>["input"], Jsonify<Types<S>["output"]>>;
export function defineEvent<Data = Untyped>(name: string): EventDefinition<Data, Jsonify<Data>>;
export function defineEvent(name: string, schema?: EventSchema): EventDefinition<unknown, unknown> {
  if (typeof name !== "string" || name === "") throw new RotorInputError("defineEvent: give the event a name");
  const make = (data: unknown, options: Pick<EventToSend, "id" | "ts" | "tags"> = {}): EventToSend => ({
    name,
    data: schema ? check(name, schema, data) : data,
    ...(options.id !== undefined && { id: options.id }),
    ...(options.ts !== undefined && { ts: options.ts }),
    ...(options.tags !== undefined && { tags: options.tags }),
  });
  Object.defineProperty(make, "name", { value: name });
  return Object.assign(make, { eventName: name });
}
