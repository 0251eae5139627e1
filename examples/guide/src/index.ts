// What the demonstration and the tests use of this example.
export { listen } from "./app.js";
export { done, failOnce, mailbox } from "./contacts.js";
