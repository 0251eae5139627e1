// The guide's workflow, as it stands there; around it only what it imports. A test compares the two letter by letter.
import { createFunction } from "@rotorsh/sdk";
import { fetchContact, sendEmail } from "../contacts.js";

export const outreachSequence = createFunction(
{ id: "outreach-sequence", trigger: { event: "contact.added" } },
async ({ event, step }) => {
const profile = await step.run("fetch-profile", () =>
fetchContact(event.data.contactId)
);
await step.sleep("warm-up", "24h"); // no worker occupied during this wait
await step.run("send-email", () =>
sendEmail(profile.email, "intro")
);
const opened = await step.waitForEvent<{ at: string }>("wait-open", {
event: "email.opened",
match: `data.contactId == "${event.data.contactId}"`,
timeout: "7d",
});
if (opened) {
await step.run("send-followup", () => sendEmail(profile.email, "followup"));
}
}
);
