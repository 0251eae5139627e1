import { createHmac } from "node:crypto";
import { verifyRotorSignature } from "@rotorsh/sdk/signature";
import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { callbackRequest, workflowRequest } from "./request.js";

const secrets = [`whsec_${Buffer.alloc(32, 1).toString("base64")}`, `whsec_${Buffer.alloc(32, 2).toString("base64")}`];
const nowSeconds = Math.floor(Date.now() / 1_000);
const jobId = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000";
const job = {
  jobId,
  queue: "emails",
  attempt: 2,
  maxAttempts: 10,
  scheduledAt: "2026-11-23T12:00:00.000Z",
  body: Buffer.from('{"to":"a@b.c","n":1.00}'),
  contentType: "application/json",
  queueHeaders: {},
  completeUrl: "http://127.0.0.1:7686/v1/jobs/x/complete?token=t",
  secrets,
  nowSeconds,
};

describe("the delivery of a callback job", () => {
  it("has the headers of the contract and the payload byte for byte", () => {
    const { headers, body } = callbackRequest(job);
    expect(body).toBe(job.body);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "x-rotor-job-id": jobId,
      "x-rotor-queue": "emails",
      "x-rotor-attempt": "2",
      "x-rotor-max-attempts": "10",
      "x-rotor-scheduled-at": "2026-11-23T12:00:00.000Z",
      "x-rotor-complete-url": job.completeUrl,
    });
    expect(headers.traceparent).toMatch(/^00-0199aaaabbbb7ccc8dddeeeeffff0000-[0-9a-f]{16}-01$/);
    expect(headers).not.toHaveProperty("webhook-id");
  });

  it("is signed with every secret, as ten lines in any language can check", () => {
    const { headers } = callbackRequest(job);
    const expected = secrets.map(
      (secret) => `v1=${createHmac("sha256", secret).update(`${nowSeconds}.`).update(job.body).digest("hex")}`,
    );
    expect(headers["x-rotor-signature"]).toBe(`t=${nowSeconds},${expected.join(",")}`);
    for (const secret of secrets)
      expect(verifyRotorSignature(job.body, headers["x-rotor-signature"], secret)).toBe(true);
  });

  it("verifies with the library of Standard Webhooks when the queue asks for it", () => {
    const { headers } = callbackRequest({ ...job, standardWebhooks: true });
    for (const secret of secrets) {
      expect(new Webhook(secret).verify(job.body.toString(), headers)).toEqual({ to: "a@b.c", n: 1 });
    }
    expect(headers["webhook-id"]).toBe(jobId);
    const { body } = job;
    const tampered = () => new Webhook(secrets[0]!).verify(`${body.toString()} `, headers);
    expect(tampered).toThrow();
  });

  it("lets a queue's header neither replace nor forge one of Rotor's", () => {
    const { headers } = callbackRequest({
      ...job,
      queueHeaders: {
        Authorization: "Bearer x",
        "X-Rotor-Signature": "t=1",
        Host: "evil",
        "x-rotor-async": "1",
        "User-Agent": "us",
      },
    });
    expect(headers.authorization).toBe("Bearer x");
    expect(headers["user-agent"]).toBe("us");
    expect(headers["x-rotor-signature"]).toContain(`t=${nowSeconds}`);
    for (const name of ["host", "Host", "x-rotor-async", "X-Rotor-Signature"])
      expect(headers).not.toHaveProperty([name]);
  });

  it("takes its content type from the job, then the queue, then JSON", () => {
    const typeOf = (contentType: string | undefined, queueHeaders: Record<string, string>) =>
      callbackRequest({ ...job, contentType, queueHeaders }).headers["content-type"];
    expect(typeOf("image/png", { "content-type": "text/plain" })).toBe("image/png");
    expect(typeOf(undefined, { "Content-Type": "text/plain" })).toBe("text/plain");
    expect(typeOf(undefined, {})).toBe("application/json");
  });
});

describe("the delivery of a run", () => {
  it("is signed JSON in the trace of its run", () => {
    const { headers, body } = workflowRequest({ body: '{"version":1}', secrets, nowSeconds, run: jobId });
    expect(body).toBe('{"version":1}');
    expect(headers["content-type"]).toBe("application/json");
    expect(headers.traceparent).toContain("-0199aaaabbbb7ccc8dddeeeeffff0000-");
    expect(verifyRotorSignature(body, headers["x-rotor-signature"], secrets[1])).toBe(true);
  });

  it("is a span of the trace of whoever started the run", () => {
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    const { headers } = workflowRequest({ body: "{}", secrets, nowSeconds, run: jobId, traceparent });
    expect(headers.traceparent).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00$/);
    expect(headers.traceparent).not.toBe(traceparent);
  });
});
