/** Random bytes for ids, which are no secrets. Drawn many at a time: each draw costs as much as signing a delivery. */
import { randomFillSync } from "node:crypto";

const pool = Buffer.alloc(4_096);
let used = pool.length;

/** So many bytes, at most 4,096; they are the caller's own. */
export function randomBytes(count: number): Buffer {
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += count;
  return Buffer.from(pool.subarray(used - count, used));
}
