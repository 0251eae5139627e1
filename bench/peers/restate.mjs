// Restate: a server with a store of its own beside a service, over HTTP. One node, its defaults: each append is flushed.
import { fork, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { Agent, request } from "undici";
import { pause } from "../stage.mjs";

export const kinds = ["runs", "four"];

/**
 * Of as many processes. All but the first are for what four of them do: each is a deployment with a service of its own, and they are called
 * in turn. Behind one address three would idle, since up to 128 calls share a connection (restatedev/restate, #4654).
 */
const services = ["bench", "bench2", "bench3", "bench4"];

/** Of this machine's binary; the package's own launcher is a process more. */
function binary() {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "bin/restate-server");
}

/** Ports of loopback that are free now. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  const ports = [];
  for (const server of servers) {
    if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
    ports.push(server.address().port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}

export async function open({ folder }) {
  const [admin, ingress, node] = await freePorts(3);
  const server = spawn(binary(), ["--no-logo", "--base-dir", folder, "--node-name", "bench"], {
    env: {
      ...process.env,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_DISABLE_TELEMETRY: "true",
      // It asks its maker for a newer version, and says so where it cannot.
      RESTATE_LOG_FILTER: "error,octocrab=off",
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  process.once("exit", () => server.kill("SIGKILL"));
  const apps = services.map((service) => fork(join(import.meta.dirname, "restate-app.mjs"), [service]));
  const next = (app) => new Promise((resolve) => app.once("message", resolve));
  const ports = (await Promise.all(apps.map(next))).map(({ port }) => port);
  async function ask(question) {
    const answers = apps.map(next);
    for (const app of apps) app.send(question);
    const told = await Promise.all(answers);
    return {
      woken: told.flatMap(({ woken }) => woken),
      ended: told.reduce((sum, { ended }) => sum + ended, 0),
      wrong: told.find(({ wrong }) => wrong)?.wrong,
    };
  }
  const dispatcher = new Agent({ connections: 50 });
  async function post(url, data) {
    const answer = await request(url, {
      method: "POST",
      body: JSON.stringify(data),
      headers: { "content-type": "application/json", accept: "application/json" },
      dispatcher,
    });
    const body = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${url} answered ${answer.statusCode}: ${body}`);
    return body;
  }
  let turns = 0;
  const serviceFor = (name) => (name.endsWith("-of-four") ? services[turns++ % services.length] : services[0]);
  const call = (service, path, data) => post(`http://127.0.0.1:${ingress}/${service}/${path}`, data);
  for (const [index, port] of ports.entries()) {
    await untilReady(() => post(`http://127.0.0.1:${admin}/deployments`, { uri: `http://127.0.0.1:${port}` }));
    await untilReady(() => call(services[index], "sequence", { steps: 1 }));
  }
  let given = services.length;
  return {
    rotor: {
      runs: {
        async start(name, data) {
          given++;
          return { runId: JSON.parse(await call(serviceFor(name), `${handlerOf(name)}/send`, data)).invocationId };
        },
      },
    },
    finish(name, data) {
      given++;
      return call(serviceFor(name), handlerOf(name), data);
    },
    /** Until the app has seen the last one return; that the server has noted this is not waited for. */
    async untilDone() {
      while ((await ask("ended")).ended < given) await pause(20);
    },
    ask,
    async close() {
      const { ended, wrong } = await ask("check");
      if (wrong) throw new Error(wrong);
      if (ended !== given) throw new Error(`Restate ended ${ended} runs of ${given}`);
      const { rows } = JSON.parse(
        await post(`http://127.0.0.1:${admin}/query`, {
          query: "select count(*) as n from sys_invocation where status <> 'completed'",
        }),
      );
      if (rows[0].n > 0) throw new Error(`Restate holds ${rows[0].n} runs that are not finished`);
      for (const app of apps) app.disconnect();
      await dispatcher.close();
      const gone = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGTERM");
      await gone;
    },
  };
}

const handlerOf = (name) => name.replace(/-of-four$/, "");

async function untilReady(call) {
  for (const limit = Date.now() + 30_000; ; await pause(50)) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > limit) throw error;
    }
  }
}
