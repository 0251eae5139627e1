/** What is kept of a step's attempts that failed and were followed by another. */
import type { RunReport, WireError } from "@rotorsh/sdk/protocol";
import { limits } from "./limits.js";

type Retry = RunReport & { readonly outcome: "retry" };

/** The members of its JSON but for `at`, which the database says. Of a large error the words alone are kept. */
export function failureText({ attempt, duration_ms, error }: Retry): string {
  const whole = JSON.stringify(error);
  const kept = whole.length <= limits.stepFailureLength ? whole : JSON.stringify(wordsOf(error));
  return `"attempt":${attempt},"duration_ms":${Math.round(duration_ms)},"error":${kept}`;
}

const wordsOf = ({ name, message }: WireError): WireError => ({
  name: name.slice(0, 200),
  message: message.slice(0, limits.stepFailureLength / 2),
});
