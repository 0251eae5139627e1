/** A line over time, drawn by uPlot. Under the pointer it tells its figures; for the ear there is a sentence. */
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef, useState } from "react";
import UPlot from "uplot";
import { useTheme } from "../shell/theme.js";
import styles from "./chart.module.css";
import { localTime } from "./time.js";

export type Series = {
  readonly name: string;
  /** A colour of `tokens.css`, by its name. */
  readonly color: "blue" | "red" | "violet" | "green";
  readonly values: readonly (number | null)[];
};

type Props = {
  readonly title: string;
  /** Of the first value, in ms since 1970, and between two. */
  readonly from: number;
  readonly stepMs: number;
  readonly series: readonly Series[];
  /** How a value is written. */
  readonly format: (value: number) => string;
  /** Bars for what is counted in each part; a line for what is measured. */
  readonly shape: "bars" | "line";
};

const HEIGHT = 168;
const bars = UPlot.paths.bars?.({ size: [0.72, 24] });

/** What the page's styles say of a colour just now. */
const colorOf = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const wash = (color: string): string => `color-mix(in srgb, ${color} 16%, transparent)`;

export function Chart({ title, from, stepMs, series, format, shape }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(undefined);
  const [pointed, setPointed] = useState<number | null>(null);
  const theme = useTheme();
  const times = (series[0]?.values ?? []).map((_, index) => (from + index * stepMs) / 1_000);
  const data = [times, ...series.map(({ values }) => values)] as UPlot.AlignedData;
  const names = series.map(({ name, color }) => `${name} ${color}`).join();
  const current = useRef({ data, series, format });
  current.current = { data, series, format };

  // biome-ignore lint/correctness/useExhaustiveDependencies: new figures are given to the plot that there is.
  useEffect(() => {
    const element = box.current!;
    const grid = { stroke: colorOf("line"), width: 1 };
    const axis = { stroke: colorOf("faint"), font: "11px system-ui", grid, ticks: { show: false } } as const;
    const made = new UPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: shape === "line" } },
        scales: {
          // Half a part more at each end, so that the first and the last bar are whole.
          x: { range: (_plot, min, max) => [min - stepMs / 2_000, max + stepMs / 2_000] },
          y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] },
        },
        axes: [
          { ...axis, grid: { show: false }, size: 26, space: 60, values: clock },
          { ...axis, size: 52, space: 36, values: (_plot, ticks) => ticks.map((tick) => current.current.format(tick)) },
        ],
        series: [
          {},
          ...current.current.series.map(
            ({ color }): UPlot.Series => ({
              stroke: colorOf(color),
              width: shape === "bars" ? 0 : 1.5,
              fill: shape === "bars" ? colorOf(color) : wash(colorOf(color)),
              points: { show: false },
              ...(shape === "bars" && bars !== undefined ? { paths: bars } : {}),
            }),
          ),
        ],
        hooks: { setCursor: [({ cursor }) => setPointed(cursor.idx ?? null)] },
      },
      current.current.data,
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [theme, names, shape, stepMs]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: they are what the data is made of.
  useEffect(() => plot.current?.setData(current.current.data), [series, from]);

  const at = pointed === null ? undefined : from + pointed * stepMs;
  return (
    <figure className={styles.chart}>
      <div className={styles.head}>
        <h3>{title}</h3>
        <figcaption className={styles.legend}>
          {at !== undefined && <time>{localTime(at)}</time>}
          {series.map(({ name, color, values }) => {
            const value = pointed === null ? undefined : values[pointed];
            return (
              <span key={name}>
                <i style={{ background: `var(--${color})` }} aria-hidden="true" />
                {name}
                {value !== undefined && value !== null && <b> {format(value)}</b>}
              </span>
            );
          })}
        </figcaption>
      </div>
      <div
        ref={box}
        className={styles.plot}
        role="img"
        aria-label={`${title}: ${series.map(sentenceOf(format)).join("; ")}`}
      />
    </figure>
  );
}

const sentenceOf =
  (format: Props["format"]) =>
  ({ name, values }: Series): string => {
    const known = values.filter((value) => value !== null);
    const last = known.at(-1);
    return last === undefined
      ? `${name}: nothing yet`
      : `${name}: ${format(last)} at the end, ${format(Math.max(...known))} at the most`;
  };

const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const clock = (_plot: UPlot, ticks: number[]): string[] => ticks.map((tick) => hours.format(tick * 1_000));
