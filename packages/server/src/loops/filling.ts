/** A queue's templates filled in for one delivery; and what came back, without the values that went out. */

import type { WireError } from "@rotorsh/sdk/protocol";
import { storable } from "../core/callback-answer.js";
import { fill, isTemplated, redact, redactCut, secretNamesOf, type Templated } from "../core/templates.js";
import type { DeliveryResult } from "../delivery/deliver.js";
import { checkHeaders } from "../delivery/headers.js";
import type { LoadedJob } from "../store/load.js";

export type Filling =
  | {
      readonly ok: true;
      readonly url: string;
      readonly headers: Templated["headers"];
      readonly values: readonly string[];
    }
  | { readonly ok: false; readonly error: WireError };

/** The secrets that a delivery needs. Runs need none: an app's URL is no template. */
export const secretsNeeded = ({ queue }: LoadedJob): string[] =>
  queue.kind === "callback" && isAnyTemplated(queue) ? secretNamesOf(queue) : [];

const isAnyTemplated = ({ url, headers }: Templated): boolean =>
  isTemplated(url) || Object.values(headers).some(isTemplated);

/** Where it goes and with which headers of the queue's. The address is judged by whoever connects. */
export function fillQueue({ name, url, headers }: LoadedJob["queue"], values: ReadonlyMap<string, string>): Filling {
  if (!isAnyTemplated({ url, headers })) return { ok: true, url, headers, values: [] };
  const filled = fill({ url, headers }, values);
  if (!filled.ok) {
    const message = `The queue ${name} uses the secret ${filled.missing}, which there is not any more. Set it with \`rotor secrets set ${filled.missing}\`, or change the queue.`;
    return { ok: false, error: { name: "UnknownSecretError", message } };
  }
  const checked = checkHeaders(filled.headers);
  if (checked.ok) return filled;
  const message = redact(`With its secrets filled in, ${checked.reason}.`, filled.values);
  return { ok: false, error: { name: "InvalidHeaderError", message } };
}

/** What came of the call, as it may be kept and shown: an endpoint may repeat what it was sent. */
export function withoutValues(result: DeliveryResult, values: readonly string[]): DeliveryResult {
  if (values.length === 0) return result;
  if ("message" in result) return { ...result, message: redact(result.message, values) };
  if (result.kind !== "answered") return result;
  const text = storable(result.body);
  return {
    ...result,
    headers: Object.fromEntries(Object.entries(result.headers).map(([name, text]) => [name, redact(text, values)])),
    body: Buffer.from(result.truncated ? redactCut(text, values) : redact(text, values)),
  };
}
