/** Arrays that are sent as binary are what they would be as text. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { encoded, encodersOf } from "./arrays.js";
import { type Statement, sql, type Value } from "./db.js";
import { isBadData } from "./outage.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

type Items = Extract<Value, readonly unknown[]>;

/** The same, once so written that it is sent as binary, and once so that the driver writes it as text. */
const pair = (type: string): readonly [Statement, Statement] => [
  sql(`arrays-test.binary-${type}`, `select $1::${type}[]::text as value`),
  sql(`arrays-test.text-${type}`, `select cast($1 as ${type}[])::text as value`),
];

const nullable = (value: fc.Arbitrary<string | number | Buffer>): fc.Arbitrary<Items> =>
  fc.array(fc.option(value, { freq: 5 }), { maxLength: 20 });

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
// Negative zero loses its sign as text.
const double = fc.double().map((value) => value + 0);
const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 50 }),
  fc.string({ unit: "binary", maxLength: 50 }).map((value) => value.replaceAll("\u0000", "")),
  fc.constantFrom("", "NULL", "null", '"', "\\", "{}", ",", "…", "\ud800", "é".repeat(3_000)),
);

const TYPES = {
  uuid: fc.uuid().chain((id) => fc.constantFrom(id, id.toUpperCase())),
  int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  float8: double,
  text,
  bytea: bytes,
} satisfies Record<string, fc.Arbitrary<string | number | Buffer>>;

describe("an array as binary is the one that it is as text", () => {
  for (const [type, value] of Object.entries(TYPES)) {
    const [binary, plain] = pair(type);
    test(type, async () => {
      expect(encodersOf(binary.text)[0]).toBeTypeOf("function");
      expect(encodersOf(plain.text)[0]).toBeUndefined();
      await fc.assert(
        fc.asyncProperty(nullable(value), async (items) => {
          expect(Buffer.isBuffer(encoded(encodersOf(binary.text), [items])[0])).toBe(true);
          const [[asBinary], [asText]] = await Promise.all([
            database.db.query<{ value: string }>(binary, [items]),
            database.db.query<{ value: string }>(plain, [items]),
          ]);
          expect(asBinary).toEqual(asText);
        }),
        { numRuns: 100 },
      );
    });
  }
});

const texts = sql("arrays-test.texts", "select $1::text[] as value");
const uuids = sql("arrays-test.uuids", "select $1::uuid[]::text[] as value");
const ints = sql("arrays-test.ints", "select $1::int[] as value");

describe("what an encoder does not know for sure is left to the driver", () => {
  test.each<[string, Statement, Items]>([
    ["a uuid of another form", uuids, ["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"]],
    ["a number as text", ints, ["12"]],
    ["a number for a text", texts, [12]],
    ["a truth for a text", texts, [true]],
  ])("%s", async (_, statement, items) => {
    expect(encoded(encodersOf(statement.text), [items])).toEqual([items]);
    const rows = await database.db.query<{ value: unknown[] }>(statement, [items]);
    expect(rows[0]!.value).toHaveLength(1);
  });

  test.each<[string, Statement, Items]>([
    ["no uuid", uuids, ["x0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]],
    ["a uuid with a letter beyond ASCII", uuids, ["à0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]],
    ["a uuid whose dashes stand elsewhere", uuids, ["a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11"]],
    ["a number that is too large", ints, [2 ** 31]],
    ["a fraction", ints, [1.5]],
    ["a NUL", texts, ["a\u0000b"]],
  ])("and what Postgres cannot store is bad data, as before: %s", async (_, statement, items) => {
    const refused = await database.db.query(statement, [items]).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(isBadData(refused)).toBe(true);
  });
});

test("a parameter is encoded where the whole text agrees on its type", () => {
  const kinds = (of: string) => encodersOf(of).map((encoder) => encoder !== undefined);
  expect(kinds("select $2::text[], $1::uuid[], $10::int[], $1::uuid[]")).toEqual(
    Object.assign(new Array<boolean>(10), { 0: true, 1: true, 9: true }),
  );
  expect(kinds("select $1::uuid[], $1::text[]")).not.toContain(true);
  expect(kinds("select $1::uuid[], $1")).not.toContain(true);
  expect(kinds("select $1::uuid, $2::timestamptz[], $3::bigint[]")).not.toContain(true);
});
