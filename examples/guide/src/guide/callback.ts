// The guide's endpoint, as it stands there; around it only what it imports. A test compares the two letter by letter.
import { verifyRotorSignature } from "@rotorsh/sdk";
import { Hono } from "hono";
import { enrichContact } from "../contacts.js";

export const app = new Hono();
const secret = process.env.ROTOR_SIGNING_KEY;

app.post("/rotor/enrichment", async (c) => {
const body = await c.req.text();
if (!verifyRotorSignature(body, c.req.header("x-rotor-signature"), secret)) {
return c.text("unauthorized", 401);
}
const { contactId } = JSON.parse(body);
await enrichContact(contactId);
return c.json({ ok: true });
});
