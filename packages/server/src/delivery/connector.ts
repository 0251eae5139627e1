/**
 * Opens the connections of the pools: resolves a name once, asks the guard about every address, connects to one of
 * exactly those. A failure says that nothing was sent. It knows nothing of requests.
 */

import { lookup as systemLookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { buildConnector } from "undici";
import { type Policy, type Protocol, portOf, refusalOfHost } from "./guard.js";

/** All addresses of a name, as IP literals. Rejects if it has none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/**
 * Why no connection came about. `refused`: nobody accepts connections there, or the guard lets none out, and nothing
 * tells which. `blocked`: the request itself cannot be sent.
 */
export type UnreachedReason = "dns" | "refused" | "tls" | "blocked" | "connect-timeout";

/** What is said of a closed port and of an address that the guard refuses alike, so that nobody scans ports with us. */
export const refusedBy = (host: string): string =>
  `${host} refused the connection, or has an address that ROTOR_ALLOW_PRIVATE_URLS does not open to deliveries`;

/** No connection, so nothing of a request has left. */
export class ConnectFailure extends Error {
  override readonly name = "ConnectFailure";
  readonly reason: UnreachedReason;

  constructor(reason: UnreachedReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

export type ConnectorOptions = {
  readonly policy: Policy;
  readonly resolve: Resolve;
  /** For name, TCP and TLS together. */
  readonly connectTimeoutMs: number;
  /** Certificates to trust in place of the system's, PEM. */
  readonly ca?: string | undefined;
  /** Told the guard's own sentence, for the operator's log: no attempt shows it. */
  readonly onBlocked?: ((reason: string) => void) | undefined;
};

/** Addresses of one name that are tried; a name with more is only judged by the rest. */
const triedAddresses = 8;

/** The resolver of the operating system, which knows hosts files and the names of containers. */
export const systemResolve: Resolve = async (host) => {
  const found = await systemLookup(host, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
};

/**
 * Gives callers that ask for the same name at the same time one answer. The system's resolver has four threads in all,
 * and the first burst to an origin asks once a connection.
 */
export function shared(resolve: Resolve): Resolve {
  const asked = new Map<string, Promise<readonly string[]>>();
  return (host) => {
    const known = asked.get(host);
    if (known !== undefined) return known;
    const answer = resolve(host).finally(() => asked.delete(host));
    asked.set(host, answer);
    return answer;
  };
}

/** What undici calls for each new connection to this origin. Its errors are `ConnectFailure`s. */
export function guardedConnector(origin: URL, options: ConnectorOptions): buildConnector.connector {
  const { policy, resolve, connectTimeoutMs, ca } = options;
  const protocol: Protocol = origin.protocol === "https:" ? "https:" : "http:";
  const port = portOf(origin);

  const blocked = (host: string, refusal: string): ConnectFailure => {
    options.onBlocked?.(refusal);
    return new ConnectFailure("refused", refusedBy(host));
  };

  const addressesOf = async (host: string): Promise<readonly string[]> => {
    const addresses = await resolve(host).catch((cause: unknown) => {
      throw new ConnectFailure("dns", `${host} could not be resolved: ${messageOf(cause)}`, { cause });
    });
    if (addresses.length === 0) throw new ConnectFailure("dns", `${host} has no address`);
    const refusal = refusalOfHost(host, addresses, protocol, policy, port);
    if (refusal !== undefined) throw blocked(host, refusal);
    return addresses;
  };

  const lookup: LookupFunction = (host, { all }, callback) => {
    addressesOf(host).then(
      (addresses) => {
        const found = addresses.slice(0, triedAddresses).map((address) => ({ address, family: isIP(address) }));
        if (all) callback(null, found);
        else callback(null, found[0]!.address, found[0]!.family);
      },
      (failure: ConnectFailure) => callback(failure, [], 0),
    );
  };

  const connect = buildConnector({
    lookup,
    ca,
    timeout: connectTimeoutMs,
    // Not left to NODE_TLS_REJECT_UNAUTHORIZED: the switch of a program around us shall not open deliveries.
    rejectUnauthorized: true,
    autoSelectFamily: true,
    // Node's own 250 ms gives up on endpoints that are merely far away.
    autoSelectFamilyAttemptTimeout: 1_000,
    keepAliveInitialDelay: 30_000,
  });

  return (target, callback) => {
    // Node does not ask `lookup` about a literal.
    const host = target.hostname;
    const refusal = isIP(host) === 0 ? undefined : refusalOfHost(host, [host], protocol, policy, port);
    if (refusal !== undefined) {
      process.nextTick(callback, blocked(host, refusal), null);
      return;
    }
    connect(target, (...[error, socket]) => {
      if (error === null) callback(null, socket);
      else callback(asFailure(error, target.host ?? target.hostname, protocol), null);
    });
  };
}

/** What an error before the connection stood means. Codes: `errors` of Node's manual, and undici's `UND_ERR_…`. */
function asFailure(error: Error, host: string, protocol: Protocol): ConnectFailure {
  if (error instanceof ConnectFailure) return error;
  const cause: NodeJS.ErrnoException = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  const failure = (reason: UnreachedReason, what: string): ConnectFailure =>
    new ConnectFailure(reason, `${host} ${what}: ${messageOf(cause)}`, { cause: error });
  if (cause.code === "UND_ERR_CONNECT_TIMEOUT" || cause.code === "ETIMEDOUT")
    return failure("connect-timeout", "did not answer");
  if (cause.syscall === "connect" || protocol === "http:")
    return new ConnectFailure("refused", refusedBy(host.replace(/:\d+$/, "")), { cause: error });
  return failure("tls", "could not agree on TLS");
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
