// The embedded Postgres listens on a socket that only its owner may open: a TCP address for whoever cannot.
import { connect, createServer } from "node:net";
import { join } from "node:path";

/** Answers a server on loopback that hands its connections on; `url` is the embedded Postgres's. */
export async function relayTo(url) {
  const path = join(new URL(url).searchParams.get("host"), ".s.PGSQL.5432");
  const relay = createServer((from) => {
    const to = connect(path);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ]) {
      one.pipe(other);
      one.on("error", () => other.destroy());
    }
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return relay;
}
