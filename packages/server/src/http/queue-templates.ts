/** Templates in what a queue is given: judged when they are stored, with the values that their secrets have now. */
import { fill, isTemplated, malformedTemplate, redact, secretNamesOf } from "../core/templates.js";
import { checkUrl } from "../delivery/guard.js";
import { checkHeaders } from "../delivery/headers.js";
import type { Engine } from "./engine.js";
import { invalid } from "./errors.js";

/**
 * Each delivery fills them in and judges the result again; whoever is refused here is spared that.
 * @throws Refusal 422 for an unknown secret, which it names; for what is no template; for an address or a header that
 * could not be delivered, without showing any value.
 */
export async function checkTemplates(
  engine: Engine,
  workspace: string,
  given: {
    readonly callback_url?: string | null | undefined;
    readonly headers?: Readonly<Record<string, string>> | undefined;
  },
  urlPath = "callback_url",
): Promise<void> {
  const url = given.callback_url ?? "";
  const headers = given.headers ?? {};
  const texts = [[urlPath, url], ...Object.entries(headers).map(([name, text]) => [`headers.${name}`, text])];
  const templated = texts.filter(([, text]) => isTemplated(text!)) as [path: string, text: string][];
  if (templated.length === 0) return;
  for (const [path, text] of templated) {
    const wrong = malformedTemplate(text);
    if (wrong !== undefined) throw invalid(path, `${JSON.stringify(wrong)} is no template: write \${{ secrets.NAME }}`);
  }
  const names = secretNamesOf({ url, headers });
  const filled = fill({ url, headers }, await engine.keyring.secretValues(workspace, names));
  if (!filled.ok) {
    const [path] = templated.find(([, text]) => secretNamesOf({ url: text, headers: {} }).includes(filled.missing))!;
    throw invalid(
      path,
      `there is no secret ${filled.missing}: set it with PUT /v1/secrets/${filled.missing}, or \`rotor secrets set ${filled.missing}\``,
    );
  }
  const address = url === "" ? undefined : checkUrl(filled.url, engine.policy);
  if (address?.ok === false) throw invalid(urlPath, redact(address.reason, filled.values));
  const checked = checkHeaders(filled.headers);
  if (!checked.ok) throw invalid("headers", redact(checked.reason, filled.values));
}
