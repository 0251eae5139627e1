/** What the tests of replay share: a peer for one function, closed after the test, and promises with handles. */

import { afterEach } from "vitest";
import type { FunctionContext, RotorFunction } from "../function.js";
import { createFunction } from "../function.js";
import type { Untyped } from "../json.js";
import type { Report } from "../protocol.js";
import { type Peer, type PeerOptions, startPeer } from "./peer.js";

const peers: Peer[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.close();
});

/** A peer that serves this code as the function "f". */
export async function peerFor(
  code: (context: FunctionContext<Untyped>) => unknown,
  options?: PeerOptions,
): Promise<Peer> {
  const peer = await startPeer(
    [createFunction({ id: "f", trigger: { event: "test" } }, code) as RotorFunction],
    options,
  );
  peers.push(peer);
  return peer;
}

/** The reports of each run in each checkpoint. */
export const reportsOf = (peer: Peer): readonly Report[][] =>
  peer.checkpoints.flatMap(({ runs }) => runs.map(({ reports }) => [...reports]));

export const keysOf = (peer: Peer): string[] => reportsOf(peer).flatMap((reports) => reports.map(({ key }) => key));

/** A promise with its handle. */
export function gate<T = void>() {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}
