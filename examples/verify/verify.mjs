// Verifies x-rotor-signature with node:crypto alone. `body` is the request's raw body: a Buffer, or a string.
import { createHmac, timingSafeEqual } from "node:crypto";

export function verify(body, header, secret, { toleranceSeconds = 300, now = Date.now() / 1000 } = {}) {
  const parts = /^t=([0-9]{10})((?:,v1=[0-9a-f]{64}){1,10})$/.exec(header ?? "");
  if (!parts || !secret) return false;
  const expected = createHmac("sha256", secret).update(`${parts[1]}.`).update(body).digest("hex");
  const equal = (one) => timingSafeEqual(Buffer.from(one), Buffer.from(expected));
  const matches = parts[2].split(",v1=").slice(1).filter(equal);
  return matches.length > 0 && Math.abs(now - Number(parts[1])) <= toleranceSeconds;
}
