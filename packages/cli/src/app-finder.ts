/** Finds the apps that run on this machine, and keeps what the server knows of them true while they are being written. */

import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type Rotor, RotorApiError, type Synced } from "@rotorsh/sdk";
import { UsageError } from "./failure.js";
import { clean } from "./output.js";

/** Where frameworks listen unless told otherwise: Next.js and many more, Vite, Django's and http-server's, wrangler's. */
export const USUAL_PORTS = [3000, 3001, 4000, 5173, 8000, 8080, 8787] as const;
export const USUAL_PATH = "/api/rotor";

export type Target = {
  readonly url: string;
  /** Named by the user, who wants to know what is wrong with it. */
  readonly isNamed: boolean;
};

/**
 * The address of an app as it is given: a port, an origin, or all of it.
 * @throws UsageError for anything else.
 */
export function appUrl(text: string): string {
  const whole = /^\d+$/.test(text) ? `http://127.0.0.1:${text}` : text;
  const url = /^https?:\/\//.test(whole) && URL.canParse(whole) ? new URL(whole) : undefined;
  if (url === undefined) {
    throw new UsageError(`${clean(text)} is not an address of an app, such as http://127.0.0.1:3000${USUAL_PATH}`);
  }
  return url.pathname === "/" ? `${url.origin}${USUAL_PATH}` : url.href;
}

const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);

const portOf = (url: URL): number => Number(url.port) || (url.protocol === "https:" ? 443 : 80);

/** The named apps, then the usual ports that neither they nor the server have. */
export function targetsOf(urls: readonly string[], ownPort: number): Target[] {
  const named = [...new Set(urls.map(appUrl))];
  const taken = new Set([ownPort]);
  for (const url of named.map((each) => new URL(each))) if (LOOPBACK.has(url.hostname)) taken.add(portOf(url));
  return [
    ...named.map((url) => ({ url, isNamed: true })),
    ...USUAL_PORTS.filter((port) => !taken.has(port)).map((port) => ({
      url: `http://127.0.0.1:${port}${USUAL_PATH}`,
      isNamed: false,
    })),
  ];
}

export type AppNews =
  | {
      readonly kind: "found" | "changed";
      readonly url: string;
      readonly app: string;
      readonly functions: readonly string[];
    }
  | { readonly kind: "lost"; readonly url: string }
  /** The app is there, but the server cannot use it; told once for each reason. */
  | { readonly kind: "refused"; readonly url: string; readonly message: string };

export type FinderOptions = {
  readonly rotor: Pick<Rotor, "functions">;
  readonly targets: readonly Target[];
  readonly tell: (news: AppNews) => void;
  readonly signal: AbortSignal;
  /** Between two looks at one address (default 2 s). */
  readonly everyMs?: number;
};

const EVERY_MS = 2_000;
const CONNECT_MS = 1_000;

/** Whether somebody listens there. */
function accepts(url: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ""), port: portOf(url), timeout: CONNECT_MS });
    const answer = (isOpen: boolean) => () => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", answer(true));
    socket.once("error", answer(false));
    socket.once("timeout", answer(false));
  });
}

/** `isOurs`: worth telling even of an address that nobody named, where most likely something else listens. */
type Refusal = { readonly message: string; readonly isConflict: boolean; readonly isOurs: boolean };

function refusalOf(error: unknown): Refusal {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof RotorApiError)) return { message, isConflict: false, isOurs: true };
  const isConflict = error.status === 409;
  // What this SDK answers when it has no key, or another one.
  return { message, isConflict, isOurs: isConflict || message.includes('{"error":{"code":') };
}

/** Looks for apps, each address by itself, until the signal. */
export async function findApps({ rotor, targets, tell, signal, everyMs = EVERY_MS }: FinderOptions): Promise<void> {
  /** What each app that is there now said of itself. */
  const found = new Map<string, string>();

  const record = (url: string, { app, functions }: Synced): void => {
    const ids = functions.map(({ id }) => id).sort();
    const before = found.get(url);
    const now = JSON.stringify([app, ids]);
    found.set(url, now);
    if (before !== now) tell({ kind: before === undefined ? "found" : "changed", url, app, functions: ids });
  };

  /** Another address holds the app. Where nobody answers there any more, the app has moved, as it does in development. */
  const hasMoved = (message: string): boolean => ![...found.keys()].some((url) => message.includes(url));

  const follow = async ({ url, isNamed }: Target): Promise<void> => {
    let told: string | undefined;
    let isContested = false;
    const look = async (): Promise<void> => {
      if (!(await accepts(new URL(url)))) {
        if (found.delete(url)) tell({ kind: "lost", url });
        told = undefined;
        return;
      }
      try {
        record(url, await rotor.functions.sync({ url, move: isContested }, { signal }));
        told = undefined;
        isContested = false;
      } catch (error) {
        if (signal.aborted) return;
        const { message, isConflict, isOurs } = refusalOf(error);
        // Not moved at once: at the start, the other address may just not have been looked at yet.
        isContested = isConflict && !isContested && hasMoved(message);
        if (isContested || message === told) return;
        if (!isOurs && !isNamed && !found.has(url)) return;
        told = message;
        tell({ kind: "refused", url, message });
      }
    };
    while (!signal.aborted) {
      await look();
      await pause(everyMs, undefined, { signal });
    }
  };

  try {
    await Promise.all(targets.map(follow));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
