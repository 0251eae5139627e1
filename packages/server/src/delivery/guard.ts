/**
 * Where we refuse to connect: the operator's policy, a URL when it is stored, the addresses of a name each time we are
 * about to connect. It resolves and connects nothing; `connector.ts` asks it before every connection.
 *
 * Who writes a URL is told why it is refused: the address, its class, the setting. Who looks at an attempt is told no
 * more than of a closed port (`connector.ts`), or a name that resolves inward would be a map of the network.
 */

import { isIP } from "node:net";
import { limits } from "../core/limits.js";
import {
  type AddressClass,
  type AddressRange,
  addressClass,
  addressOctets,
  classOfOctets,
  inRange,
  lastOctets,
  parseRange,
} from "./address.js";

/** What deliveries may reach beside the open internet. Only what it lists may be reached by http, too. */
export type Policy = {
  /** 127.0.0.0/8 and ::1. */
  readonly loopback: boolean;
  /** RFC 1918 and unique local addresses (fc00::/7). */
  readonly private: boolean;
  readonly ranges: readonly AddressRange[];
  /** What belongs to Rotor itself and is no endpoint, wherever else deliveries may go (none). */
  readonly own?: readonly OwnService[];
};

/** A port of Rotor's, or of its Postgres, at these hosts: names, or addresses as `URL.hostname` writes them. */
export type OwnService = { readonly hosts: ReadonlySet<string>; readonly port: number };

/** Nothing but https to the open internet. */
export const publicOnly: Policy = { loopback: false, private: false, ranges: [] };

const setting = "ROTOR_ALLOW_PRIVATE_URLS";

/** No policy opens these: there is no webhook endpoint there, but there are credentials and neighbours. */
const neverAllowed: ReadonlySet<AddressClass> = new Set<AddressClass>([
  "metadata",
  "link-local",
  "unspecified",
  "multicast",
  "broadcast",
  "tunnel",
  "reserved",
]);

/**
 * The policy of `ROTOR_ALLOW_PRIVATE_URLS`: CIDRs, single addresses and the words `private` and `loopback`, separated
 * by commas. Nothing given is `publicOnly`. Throws a RangeError whose message says what to mend, since a server must
 * not start on a list that it half understood.
 */
export function parsePolicy(text: string | undefined): Policy {
  const entries = (text ?? "")
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  return {
    loopback: entries.includes("loopback"),
    private: entries.includes("private"),
    ranges: entries.filter((entry) => entry !== "loopback" && entry !== "private").map(parseEntry),
  };
}

function parseEntry(entry: string): AddressRange {
  const range = parseRange(entry);
  if (range === undefined) {
    throw new RangeError(
      `${setting}: "${entry}" is not a CIDR such as 10.1.0.0/16, an address, "private" or "loopback"`,
    );
  }
  const kind = classOfOctets(range.octets);
  // Both ends closed: nothing of it could open. All of the internet, 0.0.0.0/0, has such ends and is meant.
  if (range.bits > 0 && neverAllowed.has(kind) && neverAllowed.has(classOfOctets(lastOctets(range)))) {
    throw new RangeError(`${setting}: ${entry} is ${described(kind)}; deliveries never go there`);
  }
  return range;
}

/** An http or https URL's scheme, as `URL.protocol` writes it. */
export type Protocol = "http:" | "https:";

/** Why a delivery may not go to this address by this scheme, as the end of a sentence that begins with it; undefined if it may. */
export function refusalOf(ip: string, protocol: Protocol, policy: Policy): string | undefined {
  const octets = addressOctets(ip);
  const kind = octets === undefined ? "reserved" : classOfOctets(octets);
  if (octets === undefined || neverAllowed.has(kind)) {
    return `is ${described(kind)}; deliveries never go there, whatever ${setting} says`;
  }
  const listed =
    (policy.loopback && kind === "loopback") ||
    (policy.private && (kind === "private" || kind === "unique-local")) ||
    policy.ranges.some((range) => inRange(octets, range));
  if (listed) return undefined;
  if (kind !== "public") return `is ${described(kind)}; deliveries go there only if ${setting} lists it`;
  return protocol === "https:"
    ? undefined
    : `is ${described(kind)}; use https, http is for addresses that ${setting} lists`;
}

/**
 * Why a delivery may not go to `host`, given all the addresses that it resolves to: one bad address refuses all, since
 * who controls the name chooses which one is used. Undefined if it may.
 */
export function refusalOfHost(
  host: string,
  addresses: readonly string[],
  protocol: Protocol,
  policy: Policy,
  port?: number,
): string | undefined {
  if (port !== undefined && isOwn(host, addresses, port, policy)) {
    return `${host}:${port} is this server itself, or its database; deliveries never go there`;
  }
  for (const ip of addresses) {
    const refusal = refusalOf(ip, protocol, policy);
    if (refusal !== undefined) return ip === host ? `${ip} ${refusal}` : `${host} resolves to ${ip}, which ${refusal}`;
  }
  return undefined;
}

/** Any loopback address is this machine, whichever of them a service listens on. */
function isOwn(host: string, addresses: readonly string[], port: number, policy: Policy): boolean {
  const places = (policy.own ?? []).filter((own) => own.port === port);
  if (places.length === 0) return false;
  const loopback = addresses.some((ip) => addressClass(ip) === "loopback");
  return places.some(
    ({ hosts }) =>
      hosts.has(host) ||
      addresses.some((ip) => hosts.has(plainAddress(ip))) ||
      (loopback && [...hosts].some((each) => addressClass(each) === "loopback")),
  );
}

/** One way to write an address: the IPv4 inside of a mapped one. */
const plainAddress = (ip: string): string => {
  const octets = addressOctets(ip);
  return octets?.length === 4 ? octets.join(".") : ip;
};

/** The port that a URL means. */
export const portOf = (url: URL): number => (url.port !== "" ? Number(url.port) : url.protocol === "https:" ? 443 : 80);

/**
 * Whether a URL may be stored as a place to deliver to; `reason` is a sentence for whoever wrote it. `form` is how the
 * URL is written, `address` where it leads.
 */
export type UrlCheck =
  | { readonly ok: true; readonly url: URL }
  | { readonly ok: false; readonly what: "form" | "address"; readonly reason: string };

/** Cloud metadata by name, refused early; by address it is refused anyway. */
const metadataNames: ReadonlySet<string> = new Set([
  "metadata.google.internal",
  "metadata.goog",
  "instance-data.ec2.internal",
]);

/**
 * Checks a callback, serve or webhook URL, when it is stored and again before each attempt. A name is not resolved
 * here: what it resolves to is checked whenever a connection is made. Templates must have been filled in before.
 */
export function checkUrl(text: string, policy: Policy): UrlCheck {
  if (text.length > limits.urlLength) return refuse(`is longer than ${limits.urlLength} characters`);
  // The URL parser drops or rewrites these without a word, so that what is reached is not what was read and approved.
  if (/[\p{Cc}\p{Cf}\p{Z}\\]/u.test(text))
    return refuse("holds a space, a backslash, a control or an invisible character");
  if (!URL.canParse(text)) return refuse("is not a complete URL such as https://example.com/jobs");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") return refuse("must begin with https:// or http://");
  if (url.href.length > limits.urlLength)
    return refuse(`is longer than ${limits.urlLength} characters once it is encoded`);
  if (url.username !== "" || url.password !== "") return refuse("holds a user name or password; use a header instead");
  const port = portOf(url);
  // Below 1,024 speak mail, shells and the like, to which a POST is a stream of commands. The databases and caches above
  // speak no HTTP either, but so many people's apps share those numbers that only our own services are refused.
  if (port < 1_024 && port !== 80 && port !== 443) {
    return refuse(`has port ${port}; deliveries go to 80, 443 and from 1024 up`);
  }
  const host = hostOf(url);
  const listsNothing = !policy.loopback && !policy.private && policy.ranges.length === 0;
  if (url.protocol === "http:" && isName(host) && listsNothing) {
    return { ok: false, what: "form", reason: `use https for ${host}; http is for addresses that ${setting} lists` };
  }
  const refusal = refusalOfName(host, url.protocol, policy, port);
  return refusal === undefined ? { ok: true, url } : { ok: false, what: "address", reason: refusal };
}

/** The host without brackets or the dot that makes a name absolute. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");

function refusalOfName(host: string, protocol: Protocol, policy: Policy, port: number): string | undefined {
  if (isIP(host) !== 0) return refusalOfHost(host, [host], protocol, policy, port);
  if (metadataNames.has(host)) return `${host} is ${described("metadata")}; deliveries never go there`;
  if (isLocalName(host)) {
    const open = ["127.0.0.1", "::1"].some((ip) => refusalOf(ip, protocol, policy) === undefined);
    if (!open) return `${host} ${refusalOf("127.0.0.1", protocol, policy)}`;
    return refusalOfHost(host, ["127.0.0.1"], protocol, { ...policy, loopback: true }, port);
  }
  if (isOwn(host, [], port, policy)) return refusalOfHost(host, [], protocol, policy, port);
  return undefined;
}

const isLocalName = (host: string): boolean => host === "localhost" || host.endsWith(".localhost");

/** A host that only a resolver can say more about. */
const isName = (host: string): boolean => isIP(host) === 0 && !metadataNames.has(host) && !isLocalName(host);

const refuse = (what: string): UrlCheck => ({ ok: false, what: "form", reason: `the URL ${what}` });

const described = (kind: AddressClass): string =>
  `${/^[aeiou]/.test(kind) && kind !== "unique-local" ? "an" : "a"} ${kind} address`;
