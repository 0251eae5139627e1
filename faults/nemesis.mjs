// What goes wrong in a fault run, and when: drawn from the seed. Each fault is a line in a log, with its begin and end.
import { appender, diceOf, sleep } from "./log.mjs";

/** Faults that hit one node. */
const OF_A_NODE = new Set(["kill", "pause", "hiccup", "restart"]);

/** Between two faults, in milliseconds. */
const PACE = [500, 3_500];

/**
 * Starts it. With an `app`, that is killed, restarted and cut off, too. `stop` lets the fault in hand end, and resolves when
 * everything is whole again.
 */
export function startNemesis({ seed, nodes, database, proxy, path, app, pace = PACE }) {
  const log = appender(path);
  const dice = diceOf(seed, "nemesis");
  let stopping = false;

  const backends = async () =>
    (
      await database(
        "select pid from pg_stat_activity where application_name = 'rotor' and backend_type = 'client backend' order by pid",
      )
    ).map((row) => row.pid);

  /** A backend may have ended by itself since it was looked up. */
  function stop(pid, signal) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }

  /** Resolves when Postgres answers again. */
  async function untilAnswered() {
    for (;;) {
      try {
        return await database("select 1");
      } catch {
        // Still recovering: that is what is waited for.
        await sleep(50);
      }
    }
  }

  const faults = {
    async kill(node, dice) {
      await node.kill("SIGKILL");
      await sleep(dice.between(100, 3_000));
      await node.start();
    },
    async "kill all"(_, dice) {
      await Promise.all(nodes.map((node) => node.kill("SIGKILL")));
      await sleep(dice.between(100, 2_000));
      await Promise.all(nodes.map((node) => node.start()));
    },
    /** Longer than a lease: it wakes up dead. */
    async pause(node, dice) {
      node.signal("SIGSTOP");
      await sleep(dice.between(6_000, 9_000));
      node.signal("SIGCONT");
    },
    /** Shorter than a lease: nobody may notice. */
    async hiccup(node, dice) {
      node.signal("SIGSTOP");
      await sleep(dice.between(200, 2_500));
      node.signal("SIGCONT");
    },
    async restart(node) {
      await node.kill("SIGTERM");
      await node.start();
    },
    /** One backend's violent death makes Postgres restart all of them. */
    async backend(_, dice) {
      const pid = dice.pick(await backends());
      if (pid !== undefined) stop(pid, "SIGKILL");
      await sleep(50);
      await untilAnswered();
    },
    /** Connections that swallow what they are told, with whatever locks they hold. */
    async freeze(_, dice) {
      const pids = await backends();
      for (const pid of pids) stop(pid, "SIGSTOP");
      await sleep(dice.between(500, 8_000));
      for (const pid of pids) stop(pid, "SIGCONT");
    },
    /** Commits that happen, and of which nobody hears. */
    async "lost replies"(_, dice) {
      proxy.loseReplies(dice.between(1, 30));
      await sleep(dice.between(500, 3_000));
      proxy.heal();
    },
    /** A connection that ends in the middle of a message, now and then. */
    async break(_, dice) {
      for (let n = dice.between(1, 10); n > 0; n--) {
        proxy.breakAfter(dice.between(1, 20_000));
        await sleep(dice.between(50, 300));
      }
      proxy.heal();
    },
    /** Postgres neither answers nor refuses. */
    async silence(_, dice) {
      proxy.silence();
      await sleep(dice.between(200, 9_000));
      proxy.heal();
    },
    async "kill app"(_, dice) {
      await app.kill();
      await sleep(dice.between(0, 500));
      await app.start();
    },
    /** Gently: the next one serves before this one goes. */
    "restart app": () => app.replace(),
    /** Every delivery breaks off, and the app goes on with it. */
    "cut app": async () => app.front.cut(),
    async cut(_, dice) {
      for (const pid of await backends())
        if (dice.roll() < 0.5) await database("select pg_terminate_backend($1)", [pid]);
    },
  };
  const bag = [
    ...Array(5).fill("kill"),
    ...["kill all", "pause", "pause", "hiccup", "restart", "backend", "backend", "cut", "freeze"],
    ...["lost replies", "lost replies", "lost replies", "break", "break", "silence"],
    ...(app === undefined ? [] : [...Array(5).fill("kill app"), "restart app", "cut app", "cut app"]),
  ];

  async function run() {
    for (let id = 1; ; id++) {
      await sleep(dice.between(...pace));
      if (stopping) return;
      const kind = dice.pick(bag);
      const node = OF_A_NODE.has(kind) ? dice.pick(nodes) : undefined;
      log({ phase: "begin", id, kind, node: node?.port });
      // Dice of its own: how many connections there are must not change what comes after.
      await faults[kind](node, diceOf(seed, `fault ${id}`));
      log({ phase: "end", id, kind, node: node?.port });
    }
  }

  const running = run();
  // Told when it is stopped.
  running.catch(() => undefined);
  return {
    async stop() {
      stopping = true;
      await running;
    },
  };
}
