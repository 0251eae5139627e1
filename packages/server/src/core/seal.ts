/**
 * Seals secrets for the time that they lie in the database: AES-256-GCM under a key that the database never sees.
 * It is not for passwords or API keys (those are only hashed), and it reads no configuration.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

const VERSION = "v1";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

type SealKey = { readonly id: string; readonly key: Buffer };

/** The keys at hand: the first one seals, every one of them opens. There is always at least one. */
export type SealKeys = readonly [SealKey, ...SealKey[]];

/** A new key as the text that {@link parseKeys} reads: 32 random bytes in base64. */
export const newKey = (): string => randomBytes(KEY_BYTES).toString("base64");

/**
 * Reads `ROTOR_ENCRYPTION_KEYS`: base64 keys of 32 bytes with commas between them, the newest first.
 * Throws a sentence that counts the keys but never shows one.
 */
export const parseKeys = (text: string): SealKeys => {
  const words = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  const [first, ...others] = words.map(parseKey);
  if (first === undefined) throw new Error("No encryption key is given: expected at least one base64 key of 32 bytes.");
  const ids = new Set([first, ...others].map(({ id }) => id));
  if (ids.size !== words.length) throw new Error("The same encryption key is given twice.");
  return [first, ...others];
};

const parseKey = (word: string, index: number): SealKey => {
  // Node skips characters that are not base64, so that a mistyped key would become another, valid one.
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(word)) throw new Error(`Encryption key ${index + 1} is not base64.`);
  const key = Buffer.from(word, "base64");
  if (key.length !== KEY_BYTES) {
    throw new Error(`Encryption key ${index + 1} has ${key.length} bytes; ${KEY_BYTES} bytes in base64 are needed.`);
  }
  return { id: createHash("sha256").update(key).digest("hex").slice(0, 8), key };
};

/**
 * Seals a text as `v1.<key id>.<nonce>.<ciphertext and tag>`. The context (the workspace and the name, say) is covered
 * but not contained: a sealed text moved to another row does not open there.
 */
export const seal = (keys: SealKeys, plaintext: string, context: string): string => {
  const [{ id, key }] = keys;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(coveredText(id, context));
  const box = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return [VERSION, id, nonce.toString("base64url"), box.toString("base64url")].join(".");
};

/** Whether the newest key sealed it: the others are not needed for it. */
export const isSealedByFirst = ([{ id }]: SealKeys, sealed: string): boolean => sealed.split(".")[1] === id;

/** Opens what {@link seal} made. Throws when the key is not at hand, or the text or its context is another one. */
export const open = (keys: SealKeys, sealed: string, context: string): string => {
  const [version, id, nonceText, boxText, ...rest] = sealed.split(".");
  if (version !== VERSION || id === undefined || nonceText === undefined || boxText === undefined || rest.length > 0) {
    throw new Error(`This is not a sealed text of the form ${VERSION}.<key>.<nonce>.<ciphertext>.`);
  }
  const found = keys.find((key) => key.id === id);
  if (found === undefined) {
    const known = keys.map((key) => key.id).join(", ");
    throw new Error(`Sealed with the encryption key ${id}, which is not among those given (${known}). Add it to them.`);
  }
  const nonce = Buffer.from(nonceText, "base64url");
  const box = Buffer.from(boxText, "base64url");
  if (nonce.length !== NONCE_BYTES || box.length < TAG_BYTES) throw new Error("The sealed text is cut short.");
  const decipher = createDecipheriv("aes-256-gcm", found.key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(coveredText(id, context));
  decipher.setAuthTag(box.subarray(box.length - TAG_BYTES));
  const opened = decipher.update(box.subarray(0, box.length - TAG_BYTES));
  try {
    return Buffer.concat([opened, decipher.final()]).toString("utf8");
  } catch (cause) {
    throw new Error("The sealed text does not open: it was changed, or sealed for another workspace or name.", {
      cause,
    });
  }
};

const coveredText = (id: string, context: string): Buffer => Buffer.from(`${VERSION}.${id}.${context}`, "utf8");
