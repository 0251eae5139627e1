/** What an error of the database says about it: that it is away, that it is busy, that it cannot store what it was given. */

/** Codes of the operating system for a connection that is not there. */
const SOCKET = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
  "EHOSTUNREACH",
]);

/** SQLSTATE of a connection that is lost, and of a server that starts or stops. */
const LOST = /^(08...|57P0[1-5])$/;

/** SQLSTATE of a server that is full, of a statement or lock that took too long, of a conflict. */
const BUSY = /^(53...|57014|55P03|40001|40P01)$/;

/** The driver has no codes for these. */
const WORDS =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Client was closed)/;

const codeOf = (thrown: unknown): string =>
  thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";

/** The connection is gone: what was asked is unknown, and would fare no better if it were asked in parts. */
export const isDisconnect = (thrown: unknown): boolean =>
  LOST.test(codeOf(thrown)) || SOCKET.has(codeOf(thrown)) || (thrown instanceof Error && WORDS.test(thrown.message));

/** It will pass: the same request may go well a moment later. */
export const isUnavailable = (thrown: unknown): boolean => isDisconnect(thrown) || BUSY.test(codeOf(thrown));

/** What it was given cannot be stored, now or later: SQLSTATE class 22, or a value that this process cannot write down. */
export const isBadData = (thrown: unknown): boolean => /^22...$/.test(codeOf(thrown)) || thrown instanceof RangeError;
