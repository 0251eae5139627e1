/** What an API key looks like and what is kept of it. It has 256 random bits, so a slow hash would add nothing. */
import { createHash, randomBytes } from "node:crypto";

const KEY = /^rt_ws_([a-z0-9-]{1,40})_[A-Za-z0-9_-]{43}$/;

/** The workspace that a key names; undefined if it is not formed like one. Whether it is good only the store knows. */
export const workspaceOfKey = (key: string): string | undefined => KEY.exec(key)?.[1];

export const newApiKey = (workspace: string): string => `rt_ws_${workspace}_${randomBytes(32).toString("base64url")}`;

/** SHA-256 of all of it. */
export const hashApiKey = (key: string): Buffer => createHash("sha256").update(key).digest();
