import { describe, expect, it } from "vitest";
import { checkUrl, parsePolicy, publicOnly, refusalOf, refusalOfHost } from "./guard.js";

const everything = parsePolicy("private, loopback, 100.64.0.0/10, 0.0.0.0/0, ::/0");
const development = parsePolicy("loopback,private");

const reasonOf = (text: string, policy = publicOnly): string => {
  const check = checkUrl(text, policy);
  return check.ok ? "" : check.reason;
};

describe("a URL to deliver to", () => {
  it.each([
    "https://example.com/jobs",
    "https://example.com:8443/a/b?c=d",
    "https://EXAMPLE.com",
    "https://example.com./",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://bücher.example/",
  ])("%s is accepted", (text) => {
    expect(reasonOf(text)).toBe("");
  });

  it.each([
    "https://127.0.0.1",
    "https://localhost",
    "https://localhost.",
    "https://LOCALHOST",
    "https://app.localhost",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.1",
    "https://0177.0.0.1",
    "https://127.1",
    "https://127.0.0.1.",
    "https://0",
    "https://①②⑦.⓪.⓪.①",
    "https://127。0。0。1",
    "https://１２７.0.0.1",
    "https://[::1]",
    "https://[::ffff:127.0.0.1]",
    "https://[64:ff9b::a9fe:a9fe]",
    "https://[64:ff9b::7f00:1]",
    "https://[2002:7f00:1::]",
    "https://[::7f00:1]",
    "https://169.254.169.254/latest/meta-data",
    "https://metadata.google.internal",
    "https://100.100.100.200",
    "https://100.64.0.1",
    "https://192.0.0.192",
    "https://10.0.0.1",
    "https://[fd00::1]",
    "http://example.com",
    "http://8.8.8.8",
    "https://user:pass@example.com",
    "https://evil.com@127.0.0.1",
    "https://example.com@evil.com",
    "http://a\\@b",
    "https://a\\b.com",
    "file:///etc/passwd",
    "gopher://example.com",
    "ftp://example.com",
    "data:text/plain,x",
    "javascript:alert(1)",
    "unix:/var/run/docker.sock",
    "//example.com",
    "example.com/jobs",
    "",
    "https://",
    "https://example.com:0/",
    "https://example.com:25/",
    "https://example.com:22/",
    "https://example.com:65536/",
    "https://exa\tmple.com",
    "https://example.com/\n",
    " https://example.com",
    "https://example.com/a b",
    "https://example.com/\u0000",
    "https://a\u00adb.com",
    "https://example.com/\u202egnp.exe",
    `https://example.com/${"a".repeat(10_000)}`,
    `https://example.com/${"ü".repeat(1_000)}`,
  ])("%s is refused", (text) => {
    expect(reasonOf(text)).not.toBe("");
  });

  it("names the address, its class and the setting when it refuses one", () => {
    expect(reasonOf("https://10.0.0.5/x")).toBe(
      "10.0.0.5 is a private address; deliveries go there only if ROTOR_ALLOW_PRIVATE_URLS lists it",
    );
    expect(reasonOf("https://0x7f.1/")).toContain("127.0.0.1 is a loopback address");
    expect(reasonOf("http://app.internal/")).toContain("use https for app.internal");
  });

  it.each([
    "http://127.0.0.1:3000/api/rotor",
    "http://localhost:3000",
    "http://localhost.:3000",
    "http://[::1]:3000",
    "http://10.1.2.3/",
    "http://192.168.0.9:8080",
    "http://app:3000/jobs",
    "https://[fd12::1]/",
    "http://[::ffff:127.0.0.1]:3000",
  ])("%s is accepted when loopback and private are listed", (text) => {
    expect(reasonOf(text, development)).toBe("");
  });

  it("keeps http to the open internet refused when private addresses are listed", () => {
    expect(reasonOf("http://8.8.8.8/", development)).toContain("use https");
  });

  it.each([
    "http://169.254.169.254/",
    "http://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://[fe80::1]/",
    "http://[2002:7f00:1::]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://metadata.google.internal/",
  ])("%s is refused whatever is listed", (text) => {
    expect(reasonOf(text, everything)).toContain("never");
  });
});

describe("a policy", () => {
  it("is https to the open internet if nothing is listed", () => {
    for (const text of [undefined, "", " , "]) expect(parsePolicy(text)).toEqual(publicOnly);
  });

  it("opens the words and blocks that it lists, and no others", () => {
    const policy = parsePolicy("private, 100.64.0.0/10");
    expect(refusalOf("10.0.0.1", "http:", policy)).toBeUndefined();
    expect(refusalOf("fd00::1", "http:", policy)).toBeUndefined();
    expect(refusalOf("100.64.0.1", "http:", policy)).toBeUndefined();
    expect(refusalOf("127.0.0.1", "http:", policy)).toContain("loopback");
    expect(refusalOf("100.100.100.200", "http:", policy)).toContain("metadata");
  });

  it.each(["localhost", "10.0.0.0/99", "10.0.0.1/8", "privat", "10.0.0.0-10.0.0.9"])(
    "with %s stops with a sentence",
    (text) => {
      expect(() => parsePolicy(text)).toThrow(`ROTOR_ALLOW_PRIVATE_URLS: "${text}" is not`);
    },
  );

  it.each(["169.254.169.254", "169.254.0.0/16", "fe80::/10", "224.0.0.0/4", "0.0.0.0/8"])(
    "that lists %s stops with a sentence",
    (text) => {
      expect(() => parsePolicy(text)).toThrow("deliveries never go there");
    },
  );
});

describe("a name with many addresses", () => {
  it("is refused if one of fifty is blocked", () => {
    const addresses = [...Array.from({ length: 49 }, (_, index) => `8.8.4.${index}`), "192.168.1.1"];
    expect(refusalOfHost("many.test", addresses, "https:", publicOnly)).toBe(
      "many.test resolves to 192.168.1.1, which is a private address; deliveries go there only if ROTOR_ALLOW_PRIVATE_URLS lists it",
    );
  });

  it("is reached by http only if all of them are listed", () => {
    expect(refusalOfHost("a.test", ["127.0.0.1"], "http:", development)).toBeUndefined();
    expect(refusalOfHost("a.test", ["127.0.0.1", "8.8.8.8"], "http:", development)).toContain("use https");
  });
});
