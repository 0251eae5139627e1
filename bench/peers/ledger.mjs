// What a peer was given and what it did, kept beside the measured path: a figure of one that loses or doubles work is worth
// nothing. Jobs are known by their queue and number, steps by their run and number.

export function createLedger() {
  const given = new Map();
  const done = new Map();
  /** How often each number was done, by queue or run. */
  const listOf = (key) => done.get(key) ?? done.set(key, []).get(key);
  return {
    /** So many were given, numbered from zero, under this key. */
    give: (key, count) => given.set(key, (given.get(key) ?? 0) + count),
    do(key, number) {
      const list = listOf(key);
      list[number] = (list[number] ?? 0) + 1;
    },
    /** Throws unless all that was given has been done once; then forgets it. */
    check(who) {
      let lost = 0;
      let doubled = 0;
      for (const key of new Set([...given.keys(), ...done.keys()])) {
        const list = listOf(key);
        const count = given.get(key) ?? 0;
        for (let n = 0; n < count; n++) if (!list[n]) lost++;
        list.forEach((times, n) => {
          if (n >= count || times > 1) doubled++;
        });
      }
      given.clear();
      done.clear();
      if (lost + doubled > 0) throw new Error(`${who} lost ${lost} and doubled ${doubled}`);
    },
  };
}
