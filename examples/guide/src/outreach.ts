// The guide's workflow with its durations from the environment, so that a demonstration takes seconds and not a week.
import { createFunction, type Duration } from "@rotorsh/sdk";
import { fetchContact, sendEmail } from "./contacts.js";

const warmUp = (process.env.GUIDE_WARM_UP ?? "24h") as Duration;
const patience = (process.env.GUIDE_PATIENCE ?? "7d") as Duration;

export const outreachSequence = createFunction(
  { id: "outreach-sequence", trigger: { event: "contact.added" } },
  async ({ event, step }) => {
    const profile = await step.run("fetch-profile", () => fetchContact(event.data.contactId));

    await step.sleep("warm-up", warmUp); // no worker occupied during this wait

    await step.run("send-email", () => sendEmail(profile.email, "intro"));

    const opened = await step.waitForEvent<{ at: string }>("wait-open", {
      event: "email.opened",
      match: { contactId: event.data.contactId },
      timeout: patience,
    });

    if (opened) {
      await step.run("send-followup", () => sendEmail(profile.email, "followup"));
    }
  },
);
