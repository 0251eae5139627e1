import { readFileSync } from "node:fs";
import { createFunction } from "@rotorsh/sdk";
import { testRotor } from "@rotorsh/sdk/testing";
import { expect, test } from "vitest";

const outreach = createFunction({ id: "outreach", trigger: { event: "contact.added" } }, async ({ event, step }) => {
  const { contactId } = event.data;
  await step.run("first-mail", () => sendMail(contactId, "first"));
  const opened = await step.waitForEvent("opened", { event: "email.opened", match: { contactId }, timeout: "3d" });
  if (opened) return "opened";
  await step.run("second-mail", () => sendMail(contactId, "second"));
  return "reminded";
});

test("a contact who does not open the first mail gets a second", async () => {
  const mails: string[] = [];
  const rotor = testRotor({
    functions: [outreach],
    mocks: {
      "first-mail": () => void mails.push("first"),
      "second-mail": () => void mails.push("second"),
    },
  });
  await rotor.send("contact.added", { contactId: "c1" });
  const run = rotor.runOf(outreach);
  expect(run.waitsFor).toMatchObject([{ key: "opened", events: ["email.opened"] }]);
  await rotor.send("email.opened", { contactId: "another" });
  await rotor.advance("3d");
  expect([run.state, run.result, mails]).toEqual(["completed", "reminded", ["first", "second"]]);
});

declare function sendMail(contactId: string, which: string): Promise<void>;

test("this is the code of the page about testing", () => {
  const [page, own] = ["docs/testing.md", "examples/docs/testing.test.ts"].map((name) => readFileSync(name, "utf8"));
  const [, code] = /^```ts\n([\s\S]*?)^```/m.exec(page!)!;
  expect(own!.replace('import { readFileSync } from "node:fs";\n', "")).toContain(code!.trim());
});
