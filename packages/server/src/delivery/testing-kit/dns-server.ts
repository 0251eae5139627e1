/** A DNS server on loopback that answers what a test wants, another thing each time if need be; and who asks it. For tests only. */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { addressOctets } from "../address.js";
import type { Resolve } from "../connector.js";

export type DnsServer = {
  /** A and AAAA of a name, as an endpoint's would be looked up; asks the server each time. */
  readonly resolve: Resolve;
  /** How often a name was looked up. */
  readonly asked: (name: string) => number;
  readonly close: () => Promise<void>;
};

/** The type of a question for IPv4; the other one that is asked is for IPv6. */
const TYPE_A = 1;

/** `answer` is asked once for each look-up of a name, with how many there were before; undefined is NXDOMAIN. */
export async function dnsServer(
  answer: (name: string, before: number) => readonly string[] | undefined,
): Promise<DnsServer> {
  const lookups = new Map<string, number>();
  const asked = (name: string): number => lookups.get(name) ?? 0;
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, end } = questionOf(query);
    // The question for AAAA belongs to the look-up that the one for A began.
    if (type === TYPE_A) lookups.set(name, asked(name) + 1);
    const addresses = answer(name, asked(name) - 1);
    const records = (addresses ?? []).map(bytesOf).filter((bytes) => bytes.length === (type === TYPE_A ? 4 : 16));
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(addresses === undefined ? 0x8583 : 0x8580, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    socket.send(
      Buffer.concat([head, query.subarray(12, end), ...records.map((bytes) => recordOf(type, bytes))]),
      from.port,
      from.address,
    );
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  return {
    asked,
    resolve: async (host) => {
      const four = await resolver.resolve4(host).catch(noData);
      return [...four, ...(await resolver.resolve6(host).catch(noData))];
    },
    close: async () => {
      resolver.cancel();
      socket.close();
      await once(socket, "close");
    },
  };
}

/** A name that has addresses of the other family only is no error. */
function noData(error: NodeJS.ErrnoException): string[] {
  if (error.code === "ENODATA") return [];
  throw error;
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** Octets of an address as it is written: a mapped one is an AAAA. */
function bytesOf(ip: string): Buffer {
  if (!ip.includes(":")) return Buffer.from(addressOctets(ip)!);
  const [head, tail] = new URL(`http://[${ip}]/`).hostname.slice(1, -1).split("::");
  const groups = (text: string | undefined): string[] => (text ? text.split(":") : []);
  const [before, after] = [groups(head), groups(tail)];
  const middle = new Array<string>(8 - before.length - after.length).fill("0");
  return Buffer.from([...before, ...middle, ...after].map((group) => group.padStart(4, "0")).join(""), "hex");
}

function recordOf(type: number, data: Buffer): Buffer {
  const record = Buffer.alloc(12);
  // The name: a pointer to the question's.
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(type, 2);
  record.writeUInt16BE(1, 4);
  // A life of 0: whoever asks again gets another answer.
  record.writeUInt32BE(0, 6);
  record.writeUInt16BE(data.length, 10);
  return Buffer.concat([record, data]);
}
