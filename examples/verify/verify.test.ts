import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { newSecret, signRotor, verifyRotorSignature } from "@rotorsh/sdk/signature";
import { describe, expect, test, vi } from "vitest";

const folder = new URL(".", import.meta.url).pathname;

/** Each reads cases from its input and prints an array of 0 and 1. */
const LANGUAGES: Record<string, readonly [command: string, ...args: string[]]> = {
  "verify.py": [
    "python3",
    "-c",
    `
import base64, json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from verify import verify
print(json.dumps([int(verify(base64.b64decode(c["body"]), c["header"], c["secret"], now=c["now"])) for c in json.load(sys.stdin)]))
`,
  ],
  "verify.pl": [
    "perl",
    "-MJSON::PP",
    "-MMIME::Base64",
    "-e",
    `
require "$ARGV[0]verify.pl";
my $cases = decode_json(do { local $/; <STDIN> });
print encode_json([map { verify(decode_base64($_->{body}), $_->{header}, $_->{secret}, undef, $_->{now}) } @$cases]);
`,
  ],
  "verify.mjs": [
    process.execPath,
    "--input-type=module",
    "-e",
    `
const { verify } = await import("file://" + process.argv[1] + "verify.mjs");
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const cases = JSON.parse(Buffer.concat(chunks).toString());
console.log(JSON.stringify(cases.map(({ body, ...c }) => Number(verify(Buffer.from(body, "base64"), c.header, c.secret, c)))));
`,
  ],
};

type Case = { name: string; body: Uint8Array; header: string | null; secret: string | null; now: number };

type Signed = { name: string; body?: string; body_base64?: string; secrets: string[]; t: number; header: string };
const fixtures = JSON.parse(
  readFileSync(new URL("../../packages/sdk/fixtures/signatures.json", import.meta.url), "utf8"),
) as { requests: Signed[]; bad_headers: { name: string; header: string }[] };

function casesOf(): Case[] {
  const [first] = fixtures.requests as [Signed];
  const plain = { body: Buffer.from(first.body!), header: first.header, secret: first.secrets[0]!, now: first.t };
  const [secret, other] = [newSecret(), newSecret()];
  const bodies: [string, Uint8Array][] = [
    ["unicode", Buffer.from('{"name":"Zoë 🎉 \u2028","n":1.0}')],
    ["every byte", Uint8Array.from({ length: 256 }, (_, i) => i)],
    ["line feeds and zeros", Buffer.from("\r\n\0a\n")],
    ["empty", Buffer.alloc(0)],
    ["long", Buffer.alloc(100_000, "é")],
  ];
  const now = first.t;
  return [
    ...fixtures.requests.flatMap((one) =>
      one.secrets.map((key) => ({
        ...one,
        body: Buffer.from(one.body ?? one.body_base64!, one.body === undefined ? "base64" : "utf8"),
        secret: key,
        now: one.t,
      })),
    ),
    ...bodies.flatMap(([name, body]) => {
      const header = signRotor(body, [other, secret], now);
      return [
        { name, body, header, secret, now },
        { name: `${name}, old secret`, body, header, secret: other, now },
        { name: `${name}, another secret`, body, header, secret: newSecret(), now },
        { name: `${name}, a byte more`, body: Buffer.concat([body, Buffer.from(" ")]), header, secret, now },
      ];
    }),
    ...fixtures.bad_headers.map((bad) => ({ ...plain, ...bad })),
    ...[-301, -300, 0, 300, 301].map((age) => ({ ...plain, name: `${age} s old`, now: first.t + age })),
    { ...plain, name: "no header", header: null },
    { ...plain, name: "no secret", secret: null },
    ...fixtures.bad_headers.map((bad) => ({ ...plain, ...bad, secret: "" })),
  ];
}

describe("x-rotor-signature is verified as the SDK does it", () => {
  // A missing secret is among the cases, and warned of.
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const cases = casesOf();
  const expected = cases.map(({ name, body, header, secret, now }) => [
    name,
    Number(verifyRotorSignature(body, header, secret ?? undefined, { now })),
  ]);
  const input = JSON.stringify(cases.map((one) => ({ ...one, body: Buffer.from(one.body).toString("base64") })));

  test("the cases hold good signatures and bad ones", () => {
    const good = expected.filter(([, verdict]) => verdict === 1);
    expect(good.length).toBeGreaterThanOrEqual(20);
    expect(expected.length - good.length).toBeGreaterThanOrEqual(45);
  });

  test.each(Object.entries(LANGUAGES))("by %s", (_file, [command, ...args]) => {
    const { stdout, stderr, status } = spawnSync(command, [...args, folder], { input, maxBuffer: 16 * 1024 * 1024 });
    expect([status, stderr.toString()]).toEqual([0, ""]);
    const verdicts = JSON.parse(stdout.toString()) as number[];
    expect(cases.map(({ name }, i) => [name, verdicts[i]])).toEqual(expected);
  });

  test.each(Object.keys(LANGUAGES))("in about ten lines: %s", (file) => {
    const lines = readFileSync(new URL(file, import.meta.url), "utf8").split("\n");
    expect(lines.filter((line) => line.trim() !== "" && !/^\s*(#|\/\/)/.test(line)).length).toBeLessThanOrEqual(14);
  });
});
