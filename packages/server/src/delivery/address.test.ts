import { describe, expect, it } from "vitest";
import { type AddressClass, addressClass, addressOctets, inRange, parseRange } from "./address.js";

const table: [AddressClass, string[]][] = [
  ["public", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.1.1"]],
  [
    "public",
    ["11.0.0.0", "9.255.255.255", "128.0.0.0", "126.255.255.255", "198.17.0.1", "198.20.0.0", "223.255.255.255"],
  ],
  ["public", ["2606:4700::1111", "2a00:1450:4001:800::200e", "2001:4860:4860::8888", "2001:200::1", "::ffff:8.8.8.8"]],
  ["public", ["64:ff9b::8.8.8.8", "64:ff9b::808:808"]],
  [
    "loopback",
    ["127.0.0.1", "127.0.0.2", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::FFFF:7f00:1"],
  ],
  ["loopback", ["64:ff9b::7f00:1"]],
  ["private", ["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "::ffff:10.0.0.1"]],
  ["private", ["64:ff9b::10.1.2.3"]],
  ["unique-local", ["fc00::1", "fd12:3456::1", "fdff:ffff::"]],
  ["carrier-nat", ["100.64.0.1", "100.127.255.255"]],
  ["protocol-assignment", ["192.0.0.1", "192.0.0.170"]],
  ["benchmark", ["198.18.0.1", "198.19.255.255", "2001:2::1"]],
  ["documentation", ["192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff:fff::1"]],
  ["metadata", ["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"]],
  ["metadata", ["fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]],
  ["link-local", ["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1", "fe80::1%eth0"]],
  ["unspecified", ["0.0.0.0", "::", "::ffff:0.0.0.0"]],
  ["multicast", ["224.0.0.1", "239.255.255.255", "ff02::1"]],
  ["broadcast", ["255.255.255.255"]],
  [
    "tunnel",
    [
      "2002:7f00:1::",
      "2002:808:808::1",
      "2001::1",
      "2001:0:53aa:64c:0:0:f5ff:fffe",
      "64:ff9b:1::7f00:1",
      "192.88.99.1",
    ],
  ],
  ["reserved", ["0.0.0.1", "0.255.255.255", "240.0.0.1", "255.255.255.254", "2001:10::1", "2001:20::1"]],
  ["reserved", ["::7f00:1", "::ffff:0:127.0.0.1", "100::1", "fec0::1", "4000::1", "5f00::1"]],
  ["reserved", ["", "localhost", "127.1", "256.0.0.1", "1.2.3", "0x7f000001", "1:2", "::g", "1.2.3.4.5", ":::"]],
];

describe("the class of an address", () => {
  it.each(table.flatMap(([kind, ips]) => ips.map((ip) => [ip, kind] as const)))("%s is %s", (ip, kind) => {
    expect(addressClass(ip)).toBe(kind);
  });
});

describe("a block of addresses", () => {
  it("is a CIDR or one address", () => {
    expect(parseRange("10.0.0.0/8")).toEqual({ octets: [10, 0, 0, 0], bits: 8 });
    expect(parseRange("10.1.2.3")).toEqual({ octets: [10, 1, 2, 3], bits: 32 });
    expect(parseRange("fd00::/8")?.bits).toBe(8);
    expect(parseRange("::1")?.bits).toBe(128);
  });

  it("is nothing else", () => {
    for (const text of [
      "",
      "10.0.0.0/33",
      "10.0.0.1/8",
      "fd00::1/8",
      "::/129",
      "10.0.0.0/",
      "10.0.0.0/-1",
      "10/8",
      "a/8",
    ]) {
      expect(parseRange(text), text).toBeUndefined();
    }
  });

  it("holds what shares its prefix, at borders inside an octet too", () => {
    const range = parseRange("172.16.0.0/12")!;
    expect(inRange(addressOctets("172.31.255.255")!, range)).toBe(true);
    expect(inRange(addressOctets("172.32.0.0")!, range)).toBe(false);
    expect(inRange(addressOctets("::ffff:172.20.0.1")!, range)).toBe(true);
    expect(inRange(addressOctets("fd00::1")!, range)).toBe(false);
    expect(inRange(addressOctets("8.8.8.8")!, parseRange("0.0.0.0/0")!)).toBe(true);
  });
});
