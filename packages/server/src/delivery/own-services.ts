/** The doors of Rotor itself, to which no delivery goes: as the guard knows them. Resolves no name. */
import { networkInterfaces } from "node:os";
import { addressClass } from "./address.js";
import type { OwnService } from "./guard.js";

const LOOPBACK = ["localhost", "127.0.0.1", "::1"];

/**
 * A service of ours that listens at this host and port. One that listens everywhere is at each address that this machine
 * has when it starts; a name is known by itself only.
 */
export function ownService(host: string, port: number): OwnService {
  const bare = host.replace(/^\[|\]$/g, "");
  if (bare === "0.0.0.0" || bare === "::") {
    const all = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
    return { hosts: new Set([...LOOPBACK, ...all]), port };
  }
  const local = bare === "localhost" || addressClass(bare) === "loopback";
  return { hosts: new Set(local ? [...LOOPBACK, bare] : [bare]), port };
}

/** The Postgres of this URL; none where it listens on a socket, or only the driver can read the URL. */
export function ownPostgres(databaseUrl: string): OwnService[] {
  if (!URL.canParse(databaseUrl)) return [];
  const { hostname, port } = new URL(databaseUrl);
  return hostname === "" ? [] : [ownService(hostname, port === "" ? 5432 : Number(port))];
}
