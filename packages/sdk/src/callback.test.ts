import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { callbackHandler } from "./callback.js";
import { NonRetriableError, RetryAfterError } from "./errors.js";
import { newSecret, signRotor } from "./signature.js";

const secret = newSecret();

beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

function delivery(body: string | Uint8Array, headers: Record<string, string> = {}): Request {
  const signature = signRotor(body, secret, Math.floor(Date.now() / 1000));
  return new Request("http://app.test/rotor/enrichment", {
    method: "POST",
    body,
    headers: {
      "x-rotor-signature": signature,
      "x-rotor-job-id": "job1",
      "x-rotor-attempt": "2",
      "content-type": "application/json",
      ...headers,
    },
  });
}

test("a signed delivery reaches the function, and what it returns is the answer", async () => {
  const handler = callbackHandler<{ contactId: string }>({ secret }, async ({ payload, jobId, attempt, signal }) => {
    return { contact: payload.contactId, jobId, attempt, aborted: signal.aborted };
  });
  const response = await handler(delivery('{"contactId":"c1"}'));
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.json()).toEqual({ contact: "c1", jobId: "job1", attempt: 2, aborted: false });
});

test("a function that returns nothing answers null", async () => {
  const response = await callbackHandler({ secret }, () => undefined)(delivery("1"));
  expect([response.status, await response.text()]).toEqual([200, "null"]);
});

test("a request that Rotor did not sign gets 401 and never reaches the function", async () => {
  const reached = vi.fn();
  const changed = delivery('{"a":1}', {
    "x-rotor-signature": signRotor('{"a":2}', secret, Math.floor(Date.now() / 1000)),
  });
  const unsigned = new Request("http://app.test/", { method: "POST", body: "{}" });
  for (const request of [changed, unsigned])
    expect((await callbackHandler({ secret }, reached)(request)).status).toBe(401);
  expect((await callbackHandler({ secret }, reached)(new Request("http://app.test/"))).status).toBe(405);
  expect(reached).not.toHaveBeenCalled();
});

test("an endpoint without a secret says so, rather than that the signature is wrong", async () => {
  const reached = vi.fn();
  for (const none of [undefined, "", [undefined], () => undefined]) {
    const response = await callbackHandler({ secret: none }, reached)(delivery("{}"));
    expect([response.status, await response.json()]).toMatchObject([500, { error: { code: "no_secret" } }]);
  }
  expect(reached).not.toHaveBeenCalled();
});

test("a body beyond any delivery's size is refused unread", async () => {
  const response = await callbackHandler({ secret }, vi.fn())(delivery("x".repeat(6 * 1024 * 1024)));
  expect(response.status).toBe(413);
});

test("a Response is sent as it is: a 202 for work that ends later, by a POST to the URL that the job brings", async () => {
  let later: string | undefined;
  const handler = callbackHandler({ secret }, ({ completeUrl, headers }) => {
    later = `${headers.get("x-rotor-queue")} ${completeUrl}`;
    return new Response(null, { status: 202, headers: { "x-rotor-async": "true" } });
  });
  const response = await handler(
    delivery("{}", { "x-rotor-complete-url": "http://rotor.test/complete", "x-rotor-queue": "enrichment" }),
  );
  expect([response.status, response.headers.get("x-rotor-async")]).toEqual([202, "true"]);
  expect(later).toBe("enrichment http://rotor.test/complete");
});

test("an error is answered with 500 and its message, without its stack", async () => {
  const handler = callbackHandler({ secret }, () => {
    throw new TypeError("no such contact");
  });
  const response = await handler(delivery("{}"));
  expect(response.status).toBe(500);
  expect(response.headers.get("x-rotor-no-retry")).toBeNull();
  expect(await response.json()).toEqual({ error: { name: "TypeError", message: "no such contact" } });
});

test("a NonRetriableError asks for no further attempt, a RetryAfterError for a later one", async () => {
  const answerTo = async (error: Error) =>
    callbackHandler({ secret }, async () => {
      throw error;
    })(delivery("{}"));
  const final = await answerTo(new NonRetriableError("gone"));
  expect([final.status, final.headers.get("x-rotor-no-retry")]).toEqual([500, "true"]);
  const later = await answerTo(new RetryAfterError("busy", "1500ms"));
  expect([later.status, later.headers.get("retry-after"), later.headers.get("x-rotor-no-retry")]).toEqual([
    500,
    "2",
    null,
  ]);
});

test("a payload that is no JSON fails for good, unless its content type says that it is something else", async () => {
  const handler = callbackHandler({ secret }, ({ payload }) =>
    payload instanceof Uint8Array ? [...payload] : typeof payload,
  );
  const broken = await handler(delivery("{"));
  expect([broken.status, broken.headers.get("x-rotor-no-retry")]).toEqual([400, "true"]);
  const bytes = await handler(delivery(Uint8Array.of(0, 255), { "content-type": "application/octet-stream" }));
  expect(await bytes.json()).toEqual([0, 255]);
  expect(
    await (await handler(delivery("{}", { "content-type": "application/vnd.api+json; charset=utf-8" }))).json(),
  ).toBe("object");
  expect(await (await handler(delivery(""))).json()).toBe("undefined");
});

test("work whose output has no JSON is not done again", async () => {
  const response = await callbackHandler({ secret }, () => ({ n: 5n }))(delivery("{}"));
  expect([response.status, response.headers.get("x-rotor-no-retry")]).toEqual([500, "true"]);
});
