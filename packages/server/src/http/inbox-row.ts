/** Reads a row of the inbox as the API reads a request: the same options, checked by the same schemas. */
import { newId } from "../core/ids.js";
import { glance } from "../core/json-text.js";
import { limits } from "../core/limits.js";
import type { InboxItem } from "../store/inbox.js";
import type { InboxRow } from "../store/inbox-targets.js";
import { readApart } from "./envelope.js";
import { invalid, Refusal, refusalOfSchema } from "./errors.js";
import { newEvent } from "./events.js";

/** Never throws for what a row says: that is answered as `bad`, with what to write instead. */
export function readInboxRow(row: InboxRow): InboxItem {
  try {
    const payload = payloadOf(row);
    if (row.kind === "job") return { kind: "job", ...readApart(optionsOf(row, ["payload", "job_id"]), payload) };
    if (row.kind === "event") return eventOf(row, payload.toString("utf8"));
    throw invalid("kind", 'write "job" or "event"');
  } catch (error) {
    if (error instanceof Refusal) return { kind: "bad", reason: byColumn(error.message) };
    throw error;
  }
}

/** What the schemas know by the envelope's names, by the row's. */
const byColumn = (message: string): string =>
  message.replace(/^options\.(?:job_)?id\b/, "id").replace(/^options\.name\b/, "target");

/** The payload's own text. Postgres has parsed it, but takes more than can be passed on. */
function payloadOf({ payload }: InboxRow): Buffer {
  const text = payload ?? "null";
  const { depth, unstorable } = glance(text);
  if (depth > limits.jsonDepth)
    throw invalid("payload", `it is nested ${depth} deep; ${limits.jsonDepth} is the limit`);
  if (unstorable !== undefined) throw invalid("payload", `it holds ${unstorable}`);
  return Buffer.from(text);
}

/** The options with the row's id among them, as an envelope has it. `columns` have a place of their own. */
function optionsOf({ id, options }: InboxRow, columns: readonly string[]): Record<string, unknown> {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw invalid("options", 'write a JSON object, such as {"delay": "5m"}');
  const stray = columns.find((name) => Object.hasOwn(options, name));
  if (stray !== undefined) throw invalid("options", `${stray} has a column of its own`);
  return { ...options, ...(id === null ? {} : { job_id: id }) };
}

function eventOf(row: InboxRow, data: string): InboxItem {
  const { job_id: id, ...options } = optionsOf(row, ["name", "data", "id", "job_id"]);
  const checked = newEvent.safeParse({ ...options, name: row.target, id });
  if (!checked.success) throw refusalOfSchema(checked.error, "options");
  const { workspace } = row;
  return {
    kind: "event",
    event: {
      workspace,
      name: row.target,
      key: checked.data.id ?? newId(),
      data,
      tsMs: checked.data.ts,
      tags: checked.data.tags,
    },
  };
}
