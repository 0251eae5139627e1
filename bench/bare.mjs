// What the limits are measured against, a process of its own: a bare HTTP server that does as little as can be done.
// `/` reads and answers; `/signed` verifies a signature first; `/lane` is a checkpoint with nothing around it: a list of
// results, one fenced insert with its commit, an answer.
import { createServer } from "node:http";
import { verifyRotorSignature } from "@rotorsh/sdk";
import pg from "pg";

const signingKey = process.env.BENCH_SIGNING_KEY;
const client = new pg.Client({ connectionString: process.env.BENCH_DATABASE_URL });
await client.connect();
const insert = {
  name: "bare",
  text: `insert into bare_steps (run, step, output)
         select item.run, item.step, item.output from unnest($1::uuid[], $2::int[], $3::text[]) as item (run, step, output)
           join bare_runs run on run.id = item.run and run.active
         on conflict do nothing`,
};

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    const body = Buffer.concat(chunks);
    if (request.url === "/signed" && !verifyRotorSignature(body, request.headers["x-rotor-signature"], signingKey)) {
      response.writeHead(401).end();
      return;
    }
    if (request.url === "/lane") {
      const results = JSON.parse(body.toString());
      const columns = [results.map(([run]) => run), results.map(([, step]) => step), results.map(([, , text]) => text)];
      await client.query({ ...insert, values: columns });
    }
    response.writeHead(200, { "content-length": 2 }).end("{}");
  });
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("disconnect", () => process.exit(0));
