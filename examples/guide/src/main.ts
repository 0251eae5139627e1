// Runs the example by itself, beside `rotor dev`: `ROTOR_DEV=1 node examples/guide/dist/main.js`.
import { Rotor } from "@rotorsh/sdk";
import { listen } from "./app.js";
import { mailbox } from "./contacts.js";

const rotor = new Rotor();
// Whoever gets the first mail opens it.
mailbox.deliver = ({ to, template }) => {
  if (template === "intro")
    void rotor.send({ name: "email.opened", data: { contactId: to.split("@")[0], at: new Date().toISOString() } });
};
const { port } = await listen(Number(process.env.PORT ?? 3000));
console.log(
  `The guide's app listens at http://127.0.0.1:${port}: POST /rotor/enrichment, and workflows at /api/rotor.`,
);
