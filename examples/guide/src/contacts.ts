// What the guide's programs call: an address book and a mailbox, in memory. Everything done is counted, so that tests can
// see what ran how often.

export type Contact = { id: string; email: string };
export type Mail = { to: string; template: string };

/** What was done, in order. */
export const done: { what: "enrich" | "fetch" | "send"; contact: string }[] = [];

/** Called for each mail that was sent. */
export const mailbox: { deliver: (mail: Mail) => void } = { deliver: () => undefined };

/** Contacts whose first enrichment fails: the provider is down, as providers are. */
const flaky = new Set<string>();

/** Makes the next enrichment of this contact fail, once. */
export function failOnce(contactId: string): void {
  flaky.add(contactId);
}

export async function enrichContact(contactId: string): Promise<void> {
  done.push({ what: "enrich", contact: contactId });
  if (flaky.delete(contactId)) throw new Error("the provider of contact data is down");
}

export async function fetchContact(contactId: string): Promise<Contact> {
  done.push({ what: "fetch", contact: contactId });
  return { id: contactId, email: `${contactId}@example.com` };
}

export async function sendEmail(to: string, template: string): Promise<void> {
  done.push({ what: "send", contact: `${to}/${template}` });
  mailbox.deliver({ to, template });
}
