/** One request that must not be taken. The tables beside this file have a line for each; `bad-inputs.test.ts` sends them. */
import type { Asked } from "../strict-server.js";

export type BadInput = Asked & {
  readonly name: string;
  /** Any of these. Default: 422. */
  readonly status?: number | readonly number[];
  /** What its message must say. */
  readonly says?: RegExp;
};

export const long = (length: number, of = "x"): string => of.repeat(length);

/** What a request with this name, path and body is answered, 422 where nothing is said. */
export const bad = (
  name: string,
  path: string,
  body: unknown,
  status?: BadInput["status"],
  more: Partial<BadInput> = {},
): BadInput => ({ name, path, body, ...(status === undefined ? {} : { status }), ...more });
