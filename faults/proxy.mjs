// Between the nodes and Postgres: it can lose the reply to a commit, so that nobody can know; swallow everything, as a
// cable does that was cut; and break a connection at a random byte. Imports nothing of Rotor.
import { connect, createServer } from "node:net";

const COMMIT = Buffer.from("commit\0");

/** Listens on a free port, for the database of this URL. Answers the URL by which the nodes shall reach it. */
export async function startProxy(databaseUrl, dice) {
  const url = new URL(databaseUrl);
  const folder = url.searchParams.get("host");
  const target = folder?.startsWith("/")
    ? { path: `${folder}/.s.PGSQL.${url.port}` }
    : { host: url.hostname, port: Number(url.port) };
  const pairs = new Set();
  /** Commits whose replies are still to be lost. */
  let toLose = 0;
  let lost = 0;
  let isSilent = false;
  /** Bytes, of all connections together, until one of them breaks in the middle of what it says. */
  let untilBreak = Number.POSITIVE_INFINITY;

  const server = createServer((client) => {
    const database = connect(target);
    const pair = { client, database, isLosing: false };
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      database.destroy();
    };
    for (const socket of [client, database]) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    const pass = (from, to) =>
      from.on("data", (chunk) => {
        if (isSilent) return;
        if (from === client && toLose > 0 && chunk.includes(COMMIT)) {
          toLose--;
          lost++;
          pair.isLosing = true;
        } else if (from === database && pair.isLosing) {
          // Postgres has committed, or failed to: its word is the only one there was.
          return end();
        }
        untilBreak -= chunk.length;
        if (untilBreak > 0) return void to.write(chunk);
        untilBreak = Number.POSITIVE_INFINITY;
        to.write(chunk.subarray(0, Math.floor(dice.roll() * chunk.length)), end);
      });
    pass(client, database);
    pass(database, client);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  url.hostname = "127.0.0.1";
  url.port = String(server.address().port);
  url.searchParams.delete("host");
  return {
    url: url.href,
    /** The replies to so many of the next commits are lost, and their connections with them. */
    loseReplies: (count) => {
      toLose = count;
    },
    repliesLost: () => lost,
    /** One connection breaks, so many bytes from now. */
    breakAfter: (bytes) => {
      untilBreak = bytes;
    },
    /** Swallows everything until it is whole again; what was connected then never answers any more, and is broken. */
    silence: () => {
      isSilent = true;
    },
    heal: () => {
      toLose = 0;
      untilBreak = Number.POSITIVE_INFINITY;
      if (!isSilent) return;
      isSilent = false;
      for (const { client, database } of [...pairs]) {
        client.destroy();
        database.destroy();
      }
    },
    async stop() {
      for (const { client, database } of pairs) {
        client.destroy();
        database.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
