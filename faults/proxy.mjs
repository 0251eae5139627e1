// Between two ends of a TCP connection: nodes and Postgres, nodes and the app. It passes everything on until it is told to do
// something else: to answer late or slowly, to swallow everything, as a cable does that was cut, to break connections at a random
// byte, and, what pays most, to lose the reply to a commit, so that nobody can know. Imports nothing of Rotor.
import { connect, createServer } from "node:net";
import { sleep } from "./log.mjs";

/** A reply to a commit that does not come is waited for no longer. */
const REPLY_MS = 5_000;

/** Reads the messages that a client sends to Postgres: a type, a length, and what it says. The first message has no type. */
export function frontend() {
  let rest = Buffer.alloc(0);
  let isBegun = false;
  /** Answers whether a commit is among the messages that end in this chunk. */
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    let commits = false;
    for (;;) {
      const head = isBegun ? 1 : 0;
      if (rest.length < head + 4) return commits;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return commits;
      const [type, text] = [String.fromCharCode(rest[0]), rest.subarray(head + 4, length)];
      // A simple query is its text; a parsed one has a name before it, which ours has not.
      if (isBegun && ((type === "Q" && text.equals(COMMIT)) || (type === "P" && text.subarray(1, 8).equals(COMMIT))))
        commits = true;
      isBegun = true;
      rest = rest.subarray(length);
    }
  };
}
const COMMIT = Buffer.from("commit\0");
const COMMITTED = Buffer.from("COMMIT\0");

/** The address of a `postgres://` or an `http://` URL. */
function addressOf(url) {
  const folder = url.searchParams.get("host");
  return folder?.startsWith("/")
    ? { path: `${folder}/.s.PGSQL.${url.port}` }
    : { host: url.hostname, port: Number(url.port) };
}

/** Listens on a free port, for the service of this URL. Answers the URL by which the nodes shall reach it. */
export async function startProxy(targetUrl, dice) {
  const url = new URL(targetUrl);
  const target = addressOf(url);
  const isPostgres = url.protocol.startsWith("postgres");
  const pairs = new Set();
  /** Replies that are still to be lost: to commits, or any. */
  let toLose = 0;
  const counts = { lost: 0, cut: 0 };
  let isSilent = false;
  let isAway = false;
  let lateness = { ms: 0, jitter: 0 };
  let bytesPerSecond = Number.POSITIVE_INFINITY;
  /** Bytes, of all connections together, until one of them breaks in the middle of what it says. */
  let untilBreak = Number.POSITIVE_INFINITY;

  const server = createServer((client) => {
    if (isAway) return void client.resetAndDestroy();
    const upstream = connect(target);
    const pair = {
      client,
      upstream,
      isLosing: false,
      isHalfOpen: false,
      swallowed: Buffer.alloc(0),
      later: Promise.resolve(),
    };
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    pair.end = end;
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    const sees = isPostgres ? frontend() : () => true;
    const lose = () => {
      counts.lost++;
      end();
    };
    const pass = (from, to) =>
      from.on("data", (chunk) => {
        if (isSilent || pair.isHalfOpen) return;
        if (from === client && sees(chunk) && toLose > 0 && !pair.isLosing) {
          toLose--;
          pair.isLosing = true;
          setTimeout(end, REPLY_MS).unref();
        } else if (from === upstream && pair.isLosing) {
          // What Postgres says is the only word there was: it is lost once it is certain that it was said.
          if (!isPostgres) return lose();
          pair.swallowed = Buffer.concat([pair.swallowed, chunk]);
          if (pair.swallowed.includes(COMMITTED)) lose();
          return;
        }
        untilBreak -= chunk.length;
        if (untilBreak <= 0) {
          untilBreak = Number.POSITIVE_INFINITY;
          counts.cut++;
          return void to.write(chunk.subarray(0, Math.floor(dice.roll() * chunk.length)), end);
        }
        if (lateness.ms === 0 && bytesPerSecond === Number.POSITIVE_INFINITY) return void to.write(chunk);
        const ms = lateness.ms + dice.roll() * lateness.jitter + (1_000 * chunk.length) / bytesPerSecond;
        pair.later = pair.later.then(() => sleep(ms)).then(() => to.destroyed || to.write(chunk));
      });
    pass(client, upstream);
    pass(upstream, client);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  url.hostname = "127.0.0.1";
  url.port = String(server.address().port);
  url.searchParams.delete("host");
  const breakAll = (which = () => true) => {
    const chosen = [...pairs].filter(which);
    for (const pair of chosen) {
      counts.cut++;
      pair.client.resetAndDestroy();
      pair.end();
    }
    return chosen.length;
  };
  return {
    url: isPostgres ? url.href : url.origin,
    /** Replies lost, and connections broken, so far. */
    counts,
    /** The replies to so many of the next commits (of a Postgres; else: answers) are lost, and their connections with them. */
    loseReplies: (count) => {
      toLose = count;
    },
    repliesLost: () => counts.lost,
    /** One connection breaks, so many bytes from now. */
    breakAfter: (bytes) => {
      untilBreak = bytes;
    },
    /** Resets about this part of all connections at once; answers how many. */
    reset: (part) => breakAll(() => dice.roll() < part),
    /** One connection goes silent for good; neither of its ends is told. */
    halfOpen: () => {
      const pair = dice.pick([...pairs]);
      if (pair === undefined) return;
      pair.isHalfOpen = true;
      counts.cut++;
    },
    /** Everything is so much later. */
    delay: (ms, jitter = 0) => {
      lateness = { ms, jitter };
    },
    throttle: (rate) => {
      bytesPerSecond = rate;
    },
    /** New connections are refused, and those that are there stay. */
    away: () => {
      isAway = true;
    },
    /** Swallows everything until it is whole again; what was connected then never answers any more, and is broken. */
    silence: () => {
      isSilent = true;
    },
    heal: () => {
      toLose = 0;
      untilBreak = Number.POSITIVE_INFINITY;
      lateness = { ms: 0, jitter: 0 };
      bytesPerSecond = Number.POSITIVE_INFINITY;
      isAway = false;
      const wasSilent = isSilent;
      isSilent = false;
      for (const pair of [...pairs]) if (wasSilent || pair.isHalfOpen) pair.end();
    },
    async stop() {
      for (const pair of pairs) pair.end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
