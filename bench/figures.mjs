// Figures of a benchmark: measured in rounds, told as median and spread, some of them gated. A gate looks at the worst round
// and leaves a margin, since machines are noisy: what misses it is slower, not unlucky.
import { quantile } from "./stage.mjs";

/** What the worst round may fall short of a bar by. */
const MARGIN = 0.15;

export function createFigures() {
  const figures = new Map();
  return {
    /** One round's value. `least` or `most` is a bar; the figure is gated by it. */
    add(name, value, unit, { least, most } = {}) {
      if (!Number.isFinite(value)) throw new Error(`${name} is ${value}`);
      const figure = figures.get(name) ?? { name, unit, least, most, values: [] };
      figure.values.push(value);
      figures.set(name, figure);
    },
    all: () => [...figures.values()].map(told),
  };
}

function told({ name, unit, least, most, values }) {
  const worst = least === undefined ? Math.max(...values) : Math.min(...values);
  const met =
    (least === undefined || worst >= least * (1 - MARGIN)) && (most === undefined || worst <= most * (1 + MARGIN));
  return {
    name,
    unit,
    median: quantile(values, 0.5),
    lowest: Math.min(...values),
    highest: Math.max(...values),
    least,
    most,
    met,
  };
}

const shown = (value) => (Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 100) / 100).toString();

/** The table as lines: median, lowest and highest round, and the bar where there is one. */
export const tableOf = (figures) =>
  figures.map(({ name, unit, median, lowest, highest, least, most, met }) => {
    const bar =
      least === undefined && most === undefined
        ? ""
        : `${met ? "met" : "MISSED"}: ${least === undefined ? `≤ ${most}` : `≥ ${least}`}`;
    return `${name.padEnd(66)} ${shown(median).padStart(9)} ${unit.padEnd(8)} ${`${shown(lowest)} … ${shown(highest)}`.padEnd(20)} ${bar}`.trimEnd();
  });
