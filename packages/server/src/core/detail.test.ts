import { describe, expect, it } from "vitest";
import { type Call, type Detail, detailText } from "./detail.js";
import { limits } from "./limits.js";

const call: Call = {
  url: "https://example.com/jobs",
  sent: { "x-rotor-job-id": "1" },
  configured: {},
  tokens: [],
  values: [],
  response: { server: "nginx" },
  timing: { connectMs: 1.2345 },
};

const detail = (more: Partial<Call>): Detail => JSON.parse(detailText({ ...call, ...more }));

describe("what is kept of a call", () => {
  it("is both heads and the parts of its time", () => {
    expect(detail({})).toEqual({
      request: { url: "https://example.com/jobs", headers: { "x-rotor-job-id": "1" } },
      response: { headers: { server: "nginx" } },
      timing: { connectMs: 1.2 },
    });
    expect(detail({ response: undefined })).not.toHaveProperty("response");
  });

  it("holds no signature, credential or cookie, of either side", () => {
    const names = [
      "x-rotor-signature",
      "webhook-signature",
      "Authorization",
      "proxy-authorization",
      "cookie",
      "x-api-key",
      "ocp-apim-subscription-key",
      "x-auth",
      "x-gitlab-token",
      "x-session-id",
    ];
    const sent = Object.fromEntries(names.map((name) => [name, `value of ${name}`]));
    const { request, response } = detail({ sent, response: { "set-cookie": "id=1", "www-authenticate": "Basic" } });
    expect(new Set(Object.values(request!.headers))).toEqual(new Set(["…"]));
    expect(response!.headers).toEqual({ "set-cookie": "…", "www-authenticate": "Basic" });
  });

  it("shows a capability's address without its token, and nothing that the answer repeats of either", () => {
    const sent = {
      "x-rotor-complete-url": "https://r.dev/v1/jobs/1/complete?token=abc.def",
      authorization: "Bearer xyz",
    };
    const response = { "x-echo": "abc.def and Bearer xyz", link: "<https://r.dev/v1/jobs/1/complete?token=abc.def>" };
    const kept = detail({ sent, tokens: ["abc.def"], response });
    expect(kept.request!.headers["x-rotor-complete-url"]).toBe("https://r.dev/v1/jobs/1/complete?token=…");
    expect(kept.response!.headers).toEqual({
      "x-echo": "… and …",
      link: "<https://r.dev/v1/jobs/1/complete?token=…>",
    });
  });

  it("shows templates as they were written, and no value that they became", () => {
    const template = "Bearer ${" + "{ secrets.KEY }}";
    const kept = detail({
      url: "https://example.com/?key=${" + "{ secrets.KEY }}",
      sent: { authorization: "Bearer s3cr3t", "x-tenant": "t-s3cr3t" },
      configured: { Authorization: template, "x-tenant": "t-${" + "{ secrets.KEY }}" },
      values: ["s3cr3t"],
      response: { "x-echo": "you said s3cr3t", "x-long": `${"a".repeat(195)}s3cr3t` },
    });
    expect(kept.request).toEqual({
      url: "https://example.com/?key=${" + "{ secrets.KEY }}",
      headers: { authorization: template, "x-tenant": "t-${" + "{ secrets.KEY }}" },
    });
    expect(JSON.stringify(kept)).not.toContain("s3cr");
    expect(kept.response!.headers["x-echo"]).toBe("you said …");
  });

  it("hides what stands in a URL's query under a telling name", () => {
    expect(detail({ url: "https://e.com/a?b=1&api_key=2&sig=3&token=4#x" }).request!.url).toBe(
      "https://e.com/a?b=1&api_key=…&sig=…&token=…#x",
    );
  });

  it("is bounded, whatever comes", () => {
    const many = (count: number, value: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, value]));
    expect(Object.keys(detail({ response: many(80, "a") }).response!.headers)).toHaveLength(limits.detailHeaders);
    expect(detail({ response: { long: "a".repeat(1_000) } }).response!.headers.long).toBe(`${"a".repeat(199)}…`);
    for (const value of ["a", "ü", '"', "\u0001", "\ud800"]) {
      const wide = many(100, value.repeat(10_000));
      const url = `https://example.com/${value.repeat(10_000)}`;
      const text = detailText({ ...call, url, sent: wide, response: { ...wide, [value.repeat(30_000)]: "x" } });
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(limits.detailBytes);
      expect(Object.keys((JSON.parse(text) as Detail).response!.headers).length).toBeGreaterThan(0);
    }
  });

  it("is ASCII where nothing else came, whatever is hidden in it", () => {
    const text = detailText({ ...call, sent: { authorization: "a secret" }, response: { long: "a".repeat(1_000) } });
    expect(text).toMatch(/^[ -~]*$/);
    expect((JSON.parse(text) as Detail).request!.headers).toEqual({ authorization: "…" });
  });

  it("may have headers that are called like something of JavaScript's", () => {
    const response = Object.fromEntries([["__proto__", "a"]]);
    expect(detailText({ ...call, response })).toContain('"__proto__":"a"');
  });
});
