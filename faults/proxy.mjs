// Between two ends of a TCP connection: nodes and Postgres, nodes and the app. It passes everything on until it is told to do
// something else: to answer late or slowly, to swallow everything, as a cable does that was cut, to break connections at a random
// byte, and, what pays most, to lose the reply to a commit, so that nobody can know. Imports nothing of Rotor.
import { connect, createServer } from "node:net";
import { sleep } from "./log.mjs";

/** A reply to a commit that does not come is waited for no longer. */
const REPLY_MS = 5_000;

/** Takes bytes as they come and hands on each whole message of Postgres's protocol: its type and what it says. */
function messages(each, isBegun) {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      // The first message of a client has no type.
      const head = isBegun ? 1 : 0;
      if (rest.length < head + 4) return;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return;
      if (isBegun) each(String.fromCharCode(rest[0]), rest.subarray(5, length));
      isBegun = true;
      rest = rest.subarray(length);
    }
  };
}

const WRITES = /\b(insert into|update|delete from)\b/i;
const kindOf = (text) => (/^(begin|commit|rollback)$/.exec(text) ?? [WRITES.test(text) ? "write" : "read"])[0];

/**
 * Follows what a client says to Postgres, and what Postgres answers: `client` is told of each chunk and answers whether a commit is
 * in it, be it said or that of a statement by itself; `database` answers whether the reply to the last of those is now complete.
 */
export function conversation() {
  const statements = new Map();
  let isOpen = false;
  let commits = false;
  /** Requests for an answer so far, answers so far, and the request that the last commit came with. */
  let [asked, answered, committed] = [0, 0, 0];
  const act = (kind) => {
    if (kind === "commit" || (kind === "write" && !isOpen)) {
      commits = true;
      committed = asked + 1;
    }
    if (kind === "begin") isOpen = true;
    else if (kind === "commit" || kind === "rollback") isOpen = false;
  };
  const text = (bytes, from = 0) => bytes.toString("utf8", from, bytes.indexOf(0, from));
  const fromClient = messages((type, said) => {
    if (type === "P") {
      const name = text(said);
      statements.set(name, kindOf(text(said, Buffer.byteLength(name) + 1)));
    } else if (type === "B") act(statements.get(text(said, said.indexOf(0) + 1)));
    else if (type === "Q") act(kindOf(text(said)));
    if (type === "S" || type === "Q") asked++;
  }, false);
  const fromDatabase = messages((type) => {
    // What greets a new connection answers no request.
    if (type === "Z" && asked > 0) answered++;
  }, true);
  return {
    client(chunk) {
      commits = false;
      fromClient(chunk);
      return commits;
    },
    database(chunk) {
      fromDatabase(chunk);
      return answered >= committed;
    },
  };
}

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
      later: Promise.resolve(),
      /** Chunks that are late. Whatever comes behind them stays behind them: no connection tells one before the other. */
      late: 0,
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
    const talk = isPostgres ? conversation() : { client: () => true, database: () => true };
    const lose = () => {
      counts.lost++;
      end();
    };
    const pass = (from, to) =>
      from.on("data", (chunk) => {
        if (isSilent || pair.isHalfOpen) return;
        const isTold = from === client ? talk.client(chunk) : talk.database(chunk);
        if (from === client && isTold && toLose > 0 && !pair.isLosing) {
          toLose--;
          pair.isLosing = true;
          setTimeout(end, REPLY_MS).unref();
        } else if (from === upstream && pair.isLosing) {
          // What Postgres says is the only word there was: it is lost once it is certain that it was said.
          if (isTold) lose();
          return;
        }
        untilBreak -= chunk.length;
        if (untilBreak <= 0) {
          untilBreak = Number.POSITIVE_INFINITY;
          counts.cut++;
          if (pair.late > 0) return end();
          return void to.write(chunk.subarray(0, Math.floor(dice.roll() * chunk.length)), end);
        }
        const ms = lateness.ms + dice.roll() * lateness.jitter + (1_000 * chunk.length) / bytesPerSecond;
        if (ms === 0 && pair.late === 0) return void to.write(chunk);
        pair.late++;
        pair.later = pair.later
          .then(() => sleep(ms))
          .then(() => {
            pair.late--;
            if (!to.destroyed) to.write(chunk);
          });
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
