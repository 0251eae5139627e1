// Answers that no honest endpoint gives: they hang, break off, never end, swell. A lie is told at the first `times` requests
// for an operation; after them its endpoint is honest.
import { gzipSync } from "node:zlib";

/** A hundred megabytes of nothing in a hundred kilobytes. */
const BOMB = gzipSync(Buffer.alloc(100 * 1024 * 1024));
const CHUNK = Buffer.alloc(16 * 1024, "lie ");

/** Writes until the other side has had enough. */
function pour(response, chunk) {
  if (response.destroyed) return;
  if (response.write(chunk)) setImmediate(pour, response, chunk);
  else response.once("drain", () => pour(response, chunk));
}

export const lies = {
  /** No byte, for ever: the delivery's time limit ends it. */
  hanging: { times: 1, tell: () => undefined },
  /** A byte a second. */
  dripping: {
    times: 1,
    tell(_, response) {
      response.writeHead(200, { "content-type": "application/json" });
      const timer = setInterval(() => response.write(" "), 1_000);
      response.once("close", () => clearInterval(timer));
    },
  },
  /** Says more than it gives. */
  torn: {
    times: 1,
    tell(_, response) {
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
      response.write('{"half":');
      setTimeout(() => response.destroy(), 20);
    },
  },
  /** Heads without an end. */
  flooding: {
    times: 1,
    tell(request, response) {
      const { socket } = request;
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n");
      pour(socket, `x-flood: ${"a".repeat(8_000)}\r\n`);
      socket.once("close", () => response.emit("close"));
    },
  },
  /** A success whose body never ends: what is kept of it has a limit, and the job is done. */
  endless: {
    times: Number.POSITIVE_INFINITY,
    tell(_, response) {
      response.writeHead(200, { "content-type": "application/json" });
      pour(response, CHUNK);
    },
  },
  /** A success that is small on the wire. */
  bomb: {
    times: Number.POSITIVE_INFINITY,
    tell: (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(BOMB),
  },
  /** Asks to be left alone for two seconds. */
  busy: {
    times: 1,
    tell: (_, response) => response.writeHead(503, { "retry-after": "2" }).end("{}"),
  },
};
