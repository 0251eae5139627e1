// A machine that has no time for a process stops it as a signal would: a fault that nobody planned, and that must be known, or what it does
// to deliveries would look like a bug. Nothing of it is there on a machine with time to spare.

const EVERY_MS = 100;
/** What is shorter is nothing to a lease, and to an endpoint's time limit. */
const LEAST_MS = 700;

/** By the clock that all processes of the machine share, and that no fault sets. */
const monotonicMs = () => Number(process.hrtime.bigint() / 1_000_000n);

/** Tells of each stall when it is over: `{ from, to }`, on the monotonic clock. */
export function watchStalls(tell) {
  let last = monotonicMs();
  setInterval(() => {
    const now = monotonicMs();
    if (now - last > LEAST_MS) tell({ from: last, to: now });
    last = now;
  }, EVERY_MS).unref();
}

/** Stalls as faults in the nemesis's words. Of `whom`: a node's port, `app`, or `harness`, through which everybody speaks. */
export function stallLines(stalls, whom) {
  const offset = Date.now() - monotonicMs();
  return stalls.flatMap(({ from, to }, n) => {
    const mark = { id: `stall ${whom} ${n}`, kind: "stall", ...(Number.isInteger(whom) ? { node: whom } : { whom }) };
    return [
      { t: from + offset, phase: "begin", ...mark },
      { t: to + offset, phase: "end", ...mark },
    ];
  });
}
