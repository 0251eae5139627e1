/** How a signing secret is made. What it signs is in `signature.ts`. */

import { toBase64 } from "./bytes.js";

/** A new secret: `whsec_` and the base64 of 32 random bytes. */
export const newSecret = (): string => `whsec_${toBase64(crypto.getRandomValues(new Uint8Array(32)))}`;
