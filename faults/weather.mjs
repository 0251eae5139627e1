// What goes wrong in a storm, how often, and when: a plan drawn from the seed, carried out by lanes that do not wait for each
// other, so that faults meet. Each fault is a line in a log when it begins and one when it ends. Imports nothing of Rotor.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { appender, diceOf, sleep } from "./log.mjs";

/**
 * What a second of storm brings of each fault, by the lane that does it. Those of `nodes` are shared by all nodes but the elder,
 * which is not killed, so that one node lives long enough to have its memory watched. `F…` are the numbers of the fault matrix.
 */
export const PLAN = [
  { id: "F1", kind: "kill", lane: "nodes", every: 5.5 },
  { id: "F2", kind: "kill all", lane: "nodes", every: 120 },
  { id: "F4", kind: "pause", lane: "nodes", every: 40 },
  { id: "F4", kind: "pause", lane: "elder", every: 75 },
  { id: "F5", kind: "hiccup", lane: "elder", every: 60 },
  { id: "F32", kind: "restart", lane: "nodes", every: 25 },
  { id: "F22", kind: "clock", lane: "clock", every: 20 },
  { id: "F6", kind: "backend", lane: "database", every: 15 },
  { id: "F7", kind: "postgres", lane: "database", every: 100 },
  { id: "F8", kind: "break", lane: "database", every: 8 },
  { id: "F8", kind: "cut", lane: "database", every: 15 },
  { id: "F9", kind: "lost replies", lane: "database", every: 12 },
  { id: "F10", kind: "silence", lane: "database", every: 100 },
  { id: "F10", kind: "freeze", lane: "database", every: 150 },
  { id: "F11", kind: "half-open", lane: "database", every: 40 },
  { id: "F19", kind: "disk full", lane: "database", every: 150 },
  { id: "F6", kind: "slow", lane: "database", every: 60 },
  { id: "F13", kind: "cut app", lane: "app", every: 15 },
  { id: "F16", kind: "lost answers", lane: "app", every: 20 },
  { id: "F13", kind: "app away", lane: "app", every: 40 },
  { id: "F29", kind: "pause queue", lane: "operator", every: 10 },
  { id: "F29", kind: "edit queue", lane: "operator", every: 7 },
];

/** One node is waited for no longer; what is asked then may still be done. */
const ANSWER_MS = 2_000;
/** Hours by which a clock may jump. */
const JUMPS = ["+0", "+3600s", "-3600s", "+1d", "-1d"];

/** Failpoints that strike without ending the node: shorter than a lease, so that they explain nothing that is doubled. */
export const gentleAt = (name, dice) =>
  name.startsWith("post.") || dice.roll() < 0.3
    ? `${name}=delay(200)@${dice.between(1, 3)}`
    : `${name}=error@${dice.between(1, 3)}`;

export function startWeather({
  seed,
  seconds,
  cluster,
  path,
  call,
  appProxy,
  only,
  failpoints = [],
  clockFile,
  intensity = 1,
}) {
  const { nodes, database, proxy, disk, struck } = cluster;
  const log = appender(path);
  const elder = nodes.at(-1);
  const others = nodes.length > 1 ? nodes.slice(0, -1) : nodes;
  const begunAt = Date.now();
  let stopping = false;
  let id = 0;
  /** What was done so often; connections are counted one by one. */
  const counts = {};
  const count = (kind, by = 1) => {
    counts[kind] = (counts[kind] ?? 0) + by;
  };

  const dice = diceOf(seed, "weather");
  /** Failpoints at which a node crashes, in the order in which they are tried. */
  const crashes = shuffled(failpoints, dice);

  /** Arms the next start of a node: one crash, and three points that only fail; what has not struck yet comes first. */
  function arm(node) {
    if (failpoints.length === 0) return;
    const rare = shuffled(
      failpoints.filter((name) => !struck.has(name)),
      dice,
    );
    const crash = crashes.shift();
    crashes.push(crash);
    const gentle = [...rare, ...shuffled(failpoints, dice)].filter((name) => name !== crash).slice(0, 12);
    node.environment.ROTOR_FAILPOINTS = [
      `${crash}=crash@${dice.between(1, crash.startsWith("migration") || crash.startsWith("nodes.register") ? 1 : 4)}`,
      ...gentle.map((name) => gentleAt(name, dice)),
      "settle.move.before=40P01/40 checkpoint.quick.before=40001/40 claim.lock.before=40001/60 claim-plain.take.before=40P01/60 settle.quick.before=40001/40",
    ].join(" ");
  }

  const backends = async () =>
    (
      await database(
        "select pid from pg_stat_activity where application_name = 'rotor' and backend_type = 'client backend' order by pid",
      )
    ).map((row) => row.pid);

  /** It may have ended by itself since it was looked up. */
  function signal(pid, name) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }
  async function untilAnswered() {
    for (;;) {
      try {
        return await database("select 1");
      } catch {
        // Still recovering, or full: that is what is waited for.
        await sleep(50);
      }
    }
  }
  /** Nodes that are stopped just now. */
  const standing = new Set();
  const stop = (node) => {
    standing.add(node);
    node.signal("SIGSTOP");
  };
  const goOn = (node) => {
    node.signal("SIGCONT");
    standing.delete(node);
  };
  /** Asked of one node after the other: that one of them is down, or stands still, is the weather. */
  const queue = async (method, suffix, body) => {
    for (let tries = 0; tries < 2 * nodes.length; tries++) {
      const node = nodes[tries % nodes.length];
      // It would do it when it wakes up, which may be when the opposite has been asked for.
      if (standing.has(node)) continue;
      const done = call(method, `/v1/queues/plain${suffix}`, body, node).then(
        () => true,
        () => false,
      );
      if (await Promise.race([done, sleep(ANSWER_MS)])) return;
    }
  };

  const faults = {
    async kill(node, dice) {
      await node.kill("SIGKILL");
      count("node kills");
      await sleep(dice.between(50, 1_500));
      arm(node);
      await node.start();
    },
    async "kill all"(node, dice) {
      // The elder lives on, and is stopped meanwhile: nobody serves.
      stop(elder);
      await node.kill("SIGKILL");
      count("node kills");
      await sleep(dice.between(100, 2_500));
      arm(node);
      goOn(elder);
      await node.start();
    },
    /** Longer than a lease: it wakes up dead. */
    async pause(node, dice) {
      count("pauses beyond the lease");
      stop(node);
      await sleep(dice.between(6_000, 9_000));
      goOn(node);
    },
    /** Shorter than a lease: nobody may notice. */
    async hiccup(node, dice) {
      stop(node);
      await sleep(dice.between(200, 2_500));
      goOn(node);
    },
    async restart(node) {
      const { signal } = await node.kill("SIGTERM");
      // On its way out it came to a failpoint: that is no gentle end.
      if (signal === "SIGKILL") told(node);
      arm(node);
      await node.start();
    },
    /** Of one node, which takes its time from a file; it must be heard all the same. */
    async clock(_, dice) {
      writeFileSync(clockFile, `${dice.pick(JUMPS)}\n`);
      await sleep(500);
    },
    /** One backend's violent death makes Postgres restart all of them. */
    async backend(_, dice) {
      const pid = dice.pick(await backends());
      if (pid === undefined) return;
      signal(pid, "SIGKILL");
      count("backend kills");
      await sleep(50);
      await untilAnswered();
    },
    /** Postmaster and all. The harness starts it again, as a supervisor does. */
    async postgres() {
      const postmaster = cluster.postgresPid();
      const children = spawnSync("ps", ["--ppid", String(postmaster), "-o", "pid="], { encoding: "utf8" });
      signal(postmaster, "SIGKILL");
      for (const pid of children.stdout.split("\n").map(Number).filter(Boolean)) signal(pid, "SIGKILL");
      count("Postgres kills");
      await sleep(100);
      await untilAnswered();
    },
    /** Connections that swallow what they are told, with whatever locks they hold. */
    async freeze(_, dice) {
      const pids = await backends();
      for (const pid of pids) signal(pid, "SIGSTOP");
      await sleep(dice.between(500, 8_000));
      for (const pid of pids) signal(pid, "SIGCONT");
    },
    /** Commits that happen, and of which nobody hears. */
    async "lost replies"(_, dice) {
      proxy.loseReplies(dice.between(3, 6));
      await sleep(dice.between(500, 1_500));
      proxy.heal();
    },
    /** A connection that ends in the middle of a message, now and then. */
    async break(_, dice) {
      for (let n = dice.between(4, 8); n > 0; n--) {
        proxy.breakAfter(dice.between(1, 10_000));
        await sleep(dice.between(30, 120));
      }
      proxy.heal();
    },
    async cut() {
      proxy.reset(0.5);
    },
    /** Postgres neither answers nor refuses. */
    async silence(_, dice) {
      proxy.silence();
      await sleep(dice.between(200, 9_000));
      proxy.heal();
    },
    /** One connection is dead, and its ends do not know; perhaps the lease's, or the one that listens. */
    async "half-open"() {
      proxy.halfOpen();
      await sleep(3_000);
      proxy.heal();
    },
    async slow(_, dice) {
      proxy.delay(dice.between(5, 60), 40);
      proxy.throttle(dice.between(200_000, 2_000_000));
      await sleep(2_500);
      proxy.heal();
    },
    async "disk full"(_, dice) {
      if (disk?.fill(dice.between(0, 512)) !== true) return;
      count("disk full");
      await sleep(dice.between(1_500, 3_000));
      disk.free();
      await untilAnswered();
    },
    /** Every delivery breaks off, and the app goes on with it. */
    async "cut app"() {
      appProxy.reset(1);
    },
    /** The app's answers go nowhere. */
    async "lost answers"(_, dice) {
      appProxy.loseReplies(dice.between(1, 5));
      await sleep(300);
      appProxy.heal();
    },
    async "app away"(_, dice) {
      appProxy.away();
      appProxy.reset(1);
      await sleep(dice.between(300, 1_500));
      appProxy.heal();
    },
    async "pause queue"(_, dice) {
      await queue("POST", "/pause");
      await sleep(dice.between(100, 600));
      await queue("POST", "/resume");
    },
    async "edit queue"(_, dice) {
      await queue("PATCH", "", { concurrency: dice.between(200, 600) });
    },
  };

  async function strike(kind, node, dice) {
    const mark = { id: ++id, kind, node: node?.port };
    log({ phase: "begin", ...mark });
    count(kind);
    await faults[kind](node, dice);
    log({ phase: "end", ...mark });
    // It was started by what was just done.
    if (["kill", "kill all", "restart"].includes(kind)) over(node);
  }

  /** Does what is planned for it, spread over the time that there is; `beside` is done where nothing is. */
  async function lane(name, node, plan) {
    const dice = diceOf(seed, `lane ${name} ${node?.port ?? ""}`);
    const todo = shuffled(
      plan.flatMap(({ kind, times }) => Array.from({ length: times }, () => kind)),
      dice,
    );
    for (const [index, kind] of todo.entries()) {
      const at = begunAt + ((index + dice.roll()) / todo.length) * seconds * 1_000;
      while (!stopping && Date.now() < at) await whileWaiting(node, at);
      if (stopping && Date.now() > begunAt + seconds * 1_500) return;
      await revive(node);
      await strike(kind, node, dice);
    }
    while (!stopping) await whileWaiting(node, Date.now() + 200);
    await revive(node);
  }

  const crashed = new Set();
  const told = (node) => {
    node.crash = ++id;
    log({ phase: "begin", id: node.crash, kind: "crash", node: node.port });
    count("crashes at failpoints");
    crashed.add(node);
  };
  const whileWaiting = async (node, at) => {
    await sleep(Math.max(1, Math.min(100, at - Date.now())));
    await revive(node);
  };
  /** One that a failpoint has ended is started again. */
  async function revive(node) {
    if (!crashed.has(node)) return;
    await sleep(dice.between(50, 800));
    arm(node);
    await node.start();
    over(node);
  }
  function over(node) {
    if (crashed.delete(node)) log({ phase: "end", id: node.crash, kind: "crash", node: node.port });
  }
  for (const node of nodes) node.onCrash = () => told(node);

  const chosen = PLAN.filter((each) => only === undefined || only.includes(each.id) || only.includes(each.kind))
    .filter(({ kind }) => (kind !== "clock" || clockFile !== undefined) && (kind !== "disk full" || disk !== undefined))
    .filter(({ lane }) => lane !== "app" || appProxy !== undefined);
  const planOf = (lane, share = 1) =>
    chosen
      .filter((each) => each.lane === lane)
      .map(({ kind, every }) => ({ kind, times: Math.max(1, Math.round((intensity * seconds) / every / share)) }));
  const lanes = [
    ...others.map((node) => lane("nodes", node, planOf("nodes", others.length))),
    ...(others.includes(elder) ? [] : [lane("elder", elder, planOf("elder"))]),
    ...["database", "app", "operator", "clock"].map((name) => lane(name, undefined, planOf(name))),
  ];
  const running = Promise.all(lanes);
  // Told when it is stopped.
  running.catch(() => undefined);
  return {
    counts,
    /** Ends what is under way, does what is left of the plan, and resolves when everything is whole again. */
    async stop() {
      stopping = true;
      await running;
      proxy.heal();
      appProxy?.heal();
      disk?.free();
      await untilAnswered();
      // Whichever answer to it was lost.
      if (planOf("operator").length > 0) await queue("POST", "/resume");
    },
  };
}

function shuffled(list, dice) {
  const all = [...list];
  for (let n = all.length - 1; n > 0; n--) {
    const other = dice.between(0, n);
    [all[n], all[other]] = [all[other], all[n]];
  }
  return all;
}
