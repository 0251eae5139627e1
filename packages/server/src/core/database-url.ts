/** `DATABASE_URL`, as it is handed to the driver. */

/** What the driver takes for `verify-full`, and says so in ten lines at each start: providers hand out URLs with `require`. */
const ALIASES = /([?&]sslmode=)(?:prefer|require|verify-ca)(?=&|$)/;

/** The same address, with the TLS mode written out that the driver uses. */
export const databaseUrlOf = (given: string): string =>
  given.includes("uselibpqcompat=true") ? given : given.replace(ALIASES, "$1verify-full");
