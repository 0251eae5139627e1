// The proxy breaks what it is told to break, and nothing else.
import { connect, createServer } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { diceOf } from "./log.mjs";
import { conversation, startProxy } from "./proxy.mjs";

const message = (type, text) => {
  const body = Buffer.from(text);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const startup = () => message("", "").subarray(1, 5).fill(0, 0, 3).fill(4, 3, 4);

let server;
let proxy;
let said;
beforeEach(async () => {
  said = [];
  // Answers each commit as Postgres does, and echoes anything else.
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      said.push(chunk.toString());
      socket.write(chunk.includes("commit") ? Buffer.concat([message("C", "COMMIT\0"), message("Z", "I")]) : chunk);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy = await startProxy(`postgres://127.0.0.1:${server.address().port}/db`, diceOf("1", "test"));
});
afterEach(async () => {
  await proxy.stop();
  server.close();
});

/** A client with all that it was told, and whether it is connected. */
async function client() {
  const socket = connect(Number(new URL(proxy.url).port), "127.0.0.1");
  const own = { socket, heard: "", isOpen: true };
  socket.on("data", (chunk) => {
    own.heard += chunk;
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    own.isOpen = false;
  });
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  socket.write(startup());
  return own;
}
const until = async (is) => {
  for (const end = Date.now() + 5_000; !is(); ) {
    if (Date.now() > end) throw new Error("It did not come to be.");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

test("a commit is known by its message, in whatever pieces it comes, and not by its letters", () => {
  const { client } = conversation();
  expect(client(startup())).toBe(false);
  expect(client(message("Q", "select 'commit'\0"))).toBe(false);
  const commit = message("Q", "commit\0");
  expect([client(commit.subarray(0, 3)), client(commit.subarray(3))]).toEqual([false, true]);
});

test("a statement that writes by itself commits; in a transaction, and where it reads, it does not", () => {
  const { client } = conversation();
  client(startup());
  const run = (name) => Buffer.concat([message("B", `\0${name}\0`), message("S", "")]);
  client(Buffer.concat([message("P", "put\0insert into t values (1)\0"), message("P", "look\0select 1\0")]));
  expect([client(run("put")), client(run("look"))]).toEqual([true, false]);
  client(message("Q", "begin\0"));
  expect([client(run("put")), client(message("Q", "commit\0")), client(run("put"))]).toEqual([false, true, true]);
});

test("a reply is complete when what was asked with the commit is answered, and not what came before it", () => {
  const { client, database } = conversation();
  client(startup());
  database(message("Z", "I"));
  client(message("Q", "select 1\0"));
  client(message("Q", "commit\0"));
  expect([database(message("Z", "T")), database(message("C", "COMMIT\0")), database(message("Z", "I"))]).toEqual([
    false,
    false,
    true,
  ]);
});

test("the reply to a commit is lost once it was said, and the connection with it", async () => {
  const own = await client();
  proxy.loseReplies(1);
  own.socket.write(message("Q", "commit\0"));
  await until(() => !own.isOpen);
  expect(said.at(-1)).toContain("commit");
  expect(own.heard).not.toContain("COMMIT");
  expect(proxy.counts.lost).toBe(1);
  const next = await client();
  next.socket.write(message("Q", "commit\0"));
  await until(() => next.heard.includes("COMMIT"));
});

test("a silent one swallows, and breaks what was connected when it is whole again", async () => {
  const own = await client();
  proxy.silence();
  own.socket.write("hello");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([own.heard.includes("hello"), own.isOpen]).toEqual([false, true]);
  proxy.heal();
  await until(() => !own.isOpen);
});

test("a connection breaks in the middle of what it says, and the others do not", async () => {
  const [own, other] = [await client(), await client()];
  await until(() => own.heard.length === 4 && other.heard.length === 4);
  proxy.breakAfter(10);
  own.socket.write("x".repeat(100));
  await until(() => !own.isOpen);
  other.socket.write("y");
  await until(() => other.heard.endsWith("y"));
});

test("it answers later while it is told to, and refuses while it is away", async () => {
  const own = await client();
  await until(() => own.heard.length === 4);
  proxy.delay(60);
  const begunAt = performance.now();
  own.socket.write("slow");
  await until(() => own.heard.endsWith("slow"));
  expect(performance.now() - begunAt).toBeGreaterThan(110);
  proxy.heal();
  proxy.away();
  const refused = await client();
  await until(() => !refused.isOpen);
  own.socket.write("here");
  await until(() => own.heard.endsWith("here"));
});

test("what comes after a slow time stays behind what came in it", async () => {
  const one = await client();
  await until(() => one.heard.length > 0);
  one.heard = "";
  proxy.delay(80);
  one.socket.write("slow");
  await until(() => one.socket.bytesWritten >= 8);
  await new Promise((resolve) => setTimeout(resolve, 20));
  proxy.heal();
  one.socket.write("quick");
  await until(() => one.heard.length >= 9);
  expect(said.join("").slice(-9)).toBe("slowquick");
});
