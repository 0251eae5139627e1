/**
 * What kind of place an IP address is: pure, over its octets, from the IANA special-purpose registries (RFC 6890 and
 * its updates). Which kinds a delivery may reach is decided in `guard.ts`.
 */

/**
 * `public` is the open internet. Everything else is refused unless a policy lists it, and these never are: `metadata`
 * (a cloud's credentials), `link-local`, `unspecified`, `multicast`, `broadcast`, `tunnel` (6to4, Teredo, local NAT64:
 * an IPv4 address in disguise), `reserved`.
 */
export type AddressClass =
  | "public"
  | "loopback"
  | "private"
  | "unique-local"
  | "carrier-nat"
  | "benchmark"
  | "documentation"
  | "protocol-assignment"
  | "metadata"
  | "link-local"
  | "unspecified"
  | "multicast"
  | "broadcast"
  | "tunnel"
  | "reserved";

/** A block of addresses: all that share the first `bits` bits of `octets` (4 of them for IPv4, 16 for IPv6). */
export type AddressRange = { readonly octets: readonly number[]; readonly bits: number };

/**
 * The octets of an IP literal as an endpoint would be judged by: a zone (`%eth0`) is dropped, and an IPv4-mapped or
 * NAT64 (RFC 6052, 64:ff9b::/96) address is the IPv4 address inside. Undefined if `ip` is no address.
 */
export function addressOctets(ip: string): readonly number[] | undefined {
  const octets = literalOctets(ip);
  if (octets === undefined || octets.length === 4) return octets;
  return carriesIPv4.some((range) => inRange(octets, range)) ? octets.slice(12) : octets;
}

/** `10.0.0.0/8`, `fd00::/8`, or one address. Undefined if it is neither, or bits are set beyond the prefix. */
export function parseRange(text: string): AddressRange | undefined {
  const match = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text);
  const octets = match && literalOctets(match[1]!);
  if (!match || !octets) return undefined;
  const bits = match[2] === undefined ? octets.length * 8 : Number(match[2]);
  if (bits > octets.length * 8) return undefined;
  const clean = octets.every((octet, index) => (octet & ~maskOf(bits, index)) === 0);
  return clean ? { octets, bits } : undefined;
}

/** Whether an address lies in a block; false across the two families. */
export const inRange = (octets: readonly number[], range: AddressRange): boolean =>
  octets.length === range.octets.length &&
  octets.every((octet, index) => ((octet ^ range.octets[index]!) & maskOf(range.bits, index)) === 0);

/** The last address of a block; its first is `octets`. */
export const lastOctets = (range: AddressRange): readonly number[] =>
  range.octets.map((octet, index) => octet | (~maskOf(range.bits, index) & 0xff));

/** The class of an IP literal; text that is no address is `reserved`, so that it is refused. */
export function addressClass(ip: string): AddressClass {
  const octets = addressOctets(ip);
  return octets === undefined ? "reserved" : classOfOctets(octets);
}

/** The class of what `addressOctets` gave. */
export function classOfOctets(octets: readonly number[]): AddressClass {
  for (const [kind, ranges] of table) if (ranges.some((range) => inRange(octets, range))) return kind;
  return octets.length === 4 || inRange(octets, globalUnicast) ? "public" : "reserved";
}

/** Of the octet at `index`, the bits that a prefix of `bits` covers. */
const maskOf = (bits: number, index: number): number => (0xff00 >> Math.min(8, Math.max(0, bits - index * 8))) & 0xff;

function literalOctets(text: string): readonly number[] | undefined {
  const ip = text.replace(/%.*$/, "");
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(ip)) {
    const octets = ip.split(".").map(Number);
    return octets.every((octet) => octet < 256) ? octets : undefined;
  }
  if (!ip.includes(":") || !URL.canParse(`http://[${ip}]/`)) return undefined;
  // The URL parser has written every form (capitals, zeros, a dotted tail) as groups of hex with at most one "::".
  const [head, tail] = new URL(`http://[${ip}]/`).hostname.slice(1, -1).split("::");
  const before = groups(head);
  const after = groups(tail);
  const middle = new Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...middle, ...after].flatMap((group) => [group >> 8, group & 0xff]);
}

const groups = (text: string | undefined): number[] =>
  text ? text.split(":").map((group) => Number.parseInt(group, 16)) : [];

const ranges = (...texts: string[]): AddressRange[] =>
  texts.map((text) => {
    const range = parseRange(text);
    if (range === undefined) throw new RangeError(`${text} is not a block of addresses`);
    return range;
  });

const carriesIPv4 = ranges("::ffff:0:0/96", "64:ff9b::/96");
/** The only part of IPv6 from which addresses for the open internet are given out. */
const [globalUnicast] = ranges("2000::/3") as [AddressRange];

/** The first match counts, so an exception stands before the block that it is cut out of. */
const table: readonly (readonly [AddressClass, readonly AddressRange[]])[] = [
  [
    "metadata",
    // AWS, Azure, GCP, OpenStack; Alibaba; Oracle; Azure's wire server, which has a public address; AWS and GCP over IPv6.
    ranges(
      "169.254.169.254",
      "169.254.170.2",
      "100.100.100.200",
      "192.0.0.192",
      "168.63.129.16",
      "fd00:ec2::/32",
      "fd20:ce::/32",
    ),
  ],
  ["unspecified", ranges("0.0.0.0", "::")],
  ["loopback", ranges("127.0.0.0/8", "::1")],
  ["link-local", ranges("169.254.0.0/16", "fe80::/10")],
  ["private", ranges("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")],
  ["unique-local", ranges("fc00::/7")],
  ["carrier-nat", ranges("100.64.0.0/10")],
  ["protocol-assignment", ranges("192.0.0.0/24")],
  ["benchmark", ranges("198.18.0.0/15", "2001:2::/48")],
  ["documentation", ranges("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")],
  ["tunnel", ranges("2002::/16", "2001::/32", "64:ff9b:1::/48", "192.88.99.0/24")],
  ["multicast", ranges("224.0.0.0/4", "ff00::/8")],
  ["broadcast", ranges("255.255.255.255")],
  ["reserved", ranges("0.0.0.0/8", "240.0.0.0/4", "2001::/23")],
];
