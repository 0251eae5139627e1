/**
 * Wake-ups between nodes: one debounced NOTIFY from a connection of its own, never in a user's transaction. A hint:
 * losing one costs at most the poll.
 */
import type pg from "pg";
import type { Db } from "../store/db.js";

export type Waker = {
  start(): Promise<void>;
  /** Tells the other nodes, soon, that something may be due. */
  tell(): void;
  /** Whether it hears and tells just now; a connection that is lost is made again. */
  readonly connected: boolean;
  stop(): Promise<void>;
};

const DEBOUNCE_MS = 20;
const RECONNECT_MS = 1_000;

export function createWaker(options: {
  readonly db: Db;
  /** Living nodes: alone, there is nobody to tell. */
  readonly nodes: () => number;
  readonly onWake: () => void;
  readonly onError: (error: unknown) => void;
}): Waker {
  const { db, onError } = options;
  // The schema's name is checked; it is part of the channel's, so that two of them do not hear each other.
  const channel = `${db.schema}_wake`;
  let client: pg.Client | undefined;
  let connecting: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let reconnect: NodeJS.Timeout | undefined;
  let stopped = false;

  const connect = async (): Promise<void> => {
    const fresh = await db.connect();
    fresh.on("notification", options.onWake);
    fresh.once("end", () => {
      if (client !== fresh) return;
      client = undefined;
      later();
    });
    try {
      await fresh.query(`listen "${channel}"`);
    } catch (error) {
      await fresh.end();
      throw error;
    }
    client = fresh;
    // What was told meanwhile was not heard.
    options.onWake();
  };

  /** Tries until it is connected: an outage may outlast the first try. */
  const later = (): void => {
    if (stopped) return;
    reconnect = setTimeout(() => {
      connecting = connect().catch((error) => {
        onError(error);
        later();
      });
    }, RECONNECT_MS);
  };

  return {
    async start() {
      await connect();
    },
    tell() {
      if (timer !== undefined || stopped || options.nodes() <= 1) return;
      timer = setTimeout(() => {
        timer = undefined;
        client?.query("select pg_notify($1, '')", [channel]).catch(onError);
      }, DEBOUNCE_MS);
    },
    get connected() {
      return client !== undefined;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      clearTimeout(reconnect);
      await connecting;
      const last = client;
      client = undefined;
      await last?.end();
    },
  };
}
