/**
 * Every field that is shown holds what an attacker would write there: nothing of it is carried out, nothing breaks the page.
 * Payloads, outputs, errors, headers, tags, names and ids come from whoever may enqueue, and from endpoints that nobody controls.
 */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../server/src/testing-kit/server.js";
import { all, HOSTILE, harmless, RUN, short } from "./attacks.js";
import { openStage, PHONE, type Stage, WIDE } from "./stage.js";

let stage: Stage;
let paths: string[] = [];

beforeAll(async () => {
  stage = await openStage();
  const { server } = stage;
  const { rotor } = server;
  const hostileError = Object.assign(new Error(all, { cause: new Error(all) }), {
    name: short(1),
    stack: `${all}\n  at ${all}`,
  });
  const failing = createFunction({ id: "failing", trigger: { event: short(0) }, retries: 0 }, async ({ step }) => {
    for (const [index, text] of HOSTILE.entries()) await step.run(`${index} ${text}`, () => ({ [text]: text, all }));
    await step.run(short(1), () => {
      throw hostileError;
    });
  });
  const waiting = createFunction({ id: "waiting", trigger: { event: short(1) } }, async ({ step }) => {
    await step.waitForAny(
      short(6),
      {
        [short(2)]: { event: short(3), match: { [short(7)]: all } },
        [short(4)]: { signal: short(1) },
      },
      { timeout: "7d" },
    );
  });
  await stage.serveFunctions("hostile", [failing, waiting]);
  const endpoint = await server.serve((request, response) => {
    request.resume().once("end", () => {
      if (request.url?.startsWith("/good"))
        return response
          .writeHead(200, { "content-type": "text/html", "x-evil": `<script>${RUN}</script>` })
          .end(`<html>${all}`);
      response.writeHead(500, { "x-evil": `"><img src=x onerror=${RUN}>` }).end(all);
    });
  });
  const query = encodeURIComponent(`"><script>${RUN}</script>`);
  await rotor.queues.put("evil", {
    callbackUrl: `${endpoint}/bad?${query}`,
    retry: { maxAttempts: 2, backoff: ["10ms"], jitter: "none" },
  });
  await rotor.queues.put("fine", { callbackUrl: `${endpoint}/good?${query}` });
  await rotor.queues.put("blocked", { callbackUrl: `${endpoint}/good`, concurrency: 1 });
  await rotor.queues.pause("blocked");
  const tags = HOSTILE.slice(0, 9).map((text) => text.slice(0, 60));
  const payload = { [all]: all, nested: { html: HOSTILE }, long: "x".repeat(300_000) };
  const jobs = [
    await rotor.jobs.enqueue("evil", { jobId: all.slice(0, 250), payload, tags }),
    await rotor.jobs.enqueue("fine", { jobId: short(1), payload: all, tags, headers: { "x-mine": "<b>" } }),
    await rotor.jobs.enqueue("blocked", { jobId: short(0), payload: HOSTILE, concurrencyKey: all.slice(0, 200) }),
  ];
  const runs = [
    ...(await rotor.send({ name: short(0), data: payload, tags })).runs,
    ...(await rotor.send({ name: short(1), data: { text: all }, tags })).runs,
  ];
  await rotor.send({ name: short(3), data: { [short(7)]: HOSTILE } });
  await eventually("the failures", async () => (await rotor.dlq.list().page()).data.length === 2);
  await eventually("the wait", async () => (await rotor.runs.get(runs[1]!)).reason === "event");
  paths = [
    "/runs",
    "/jobs",
    "/dead-letters",
    ...jobs.map(({ id }) => `/jobs/${id}`),
    ...runs.map((id) => `/runs/${id}`),
    `/runs/${runs[0]}?step=${encodeURIComponent(short(1))}`,
    `/runs/${runs[1]}?step=${encodeURIComponent(short(6))}`,
    `/runs/${encodeURIComponent(all.slice(0, 100))}`,
    `/jobs?error=${encodeURIComponent(all)}&tag=${encodeURIComponent(all)}&state=${encodeURIComponent(all)}`,
    `/login?to=${encodeURIComponent(`javascript:${RUN}`)}`,
    `/login?to=//evil.example`,
  ];
});
afterAll(() => stage.close());

for (const [name, options] of [
  ["wide and dark", WIDE],
  ["a phone and light", PHONE],
] as const)
  test(`nothing of it is carried out, ${name}`, async () => {
    for (const path of paths) {
      const { page, faults, close } = await stage.open(path, options);
      await harmless({ page, faults, close }, path);
      await close();
    }
  });

test("dialogs that are filled with it carry out nothing", async () => {
  const waiting = paths.find((path) => path.startsWith("/runs/") && path.includes("step="));
  const { page, faults, close } = await stage.open(paths.filter((path) => path.startsWith("/runs/"))[1]!);
  await page
    .getByRole("button", { name: /^Send / })
    .first()
    .click();
  await page.getByRole("dialog").getByLabel("Data, as JSON").waitFor();
  expect(await page.evaluate("window.pwned")).toBeUndefined();
  expect(faults).toEqual([]);
  expect(waiting).toBeDefined();
  await close();
});
