/** The part of `app.ts` that the quickstart's reader is told of. */
export { fetchContact, sendEmail } from "./app.js";
