import { expect, test } from "vitest";
import { databaseUrlOf } from "./database-url.js";

test.each([
  ["postgres://u:p@db/rotor", "postgres://u:p@db/rotor"],
  ["postgres://u:p@db/rotor?sslmode=require", "postgres://u:p@db/rotor?sslmode=verify-full"],
  ["postgres://db/rotor?a=1&sslmode=verify-ca&b=2", "postgres://db/rotor?a=1&sslmode=verify-full&b=2"],
  ["postgres://db/rotor?sslmode=no-verify", "postgres://db/rotor?sslmode=no-verify"],
  ["postgres://db/r?sslmode=require&uselibpqcompat=true", "postgres://db/r?sslmode=require&uselibpqcompat=true"],
  ["postgres://u:sslmode=require@db/rotor", "postgres://u:sslmode=require@db/rotor"],
])("%s", (given, used) => {
  expect(databaseUrlOf(given)).toBe(used);
});
