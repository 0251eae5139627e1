/** What a run did and waits for, as bars over time. It moves while the run does. A bar can be chosen, `j` and `k` go on. */
import type { Run, StepView } from "@rotorsh/sdk";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { Workflow } from "lucide-react";
import { useLayoutEffect, useMemo, useRef, useState } from "react";
import { useShortcuts } from "../../shell/shortcuts.js";
import { useMovingNow } from "../../ui/now.js";
import { localTime, shortTime, span, utcTime } from "../../ui/time.js";
import { kindOf } from "./kinds.js";
import { type Scale, squeezedScale, ticksOf, trueScale } from "./scale.js";
import { restOf, type Span, spansOf } from "./spans.js";
import styles from "./timeline.module.css";

type Props = {
  readonly run: Run;
  /** Key of the chosen step; undefined: the run as a whole. */
  readonly chosen: string | undefined;
  readonly onChoose: (key: string | undefined) => void;
};

const narrow = window.matchMedia("(max-width: 720px)");
/** A run younger than this moves ten times a second; an older one is looked at in seconds. */
const YOUNG_MS = 120_000;

/** How a bar looks. */
function lookOf({ step, isCopied }: Span): string {
  if (isCopied) return styles.copied!;
  if (step.state === "failed") return styles.failed!;
  if (step.state === "dropped") return styles.dropped!;
  const isWait = step.kind !== "run" && step.kind !== "send";
  if (step.state === "waiting") return step.kind === "run" ? styles.retrying! : styles.waiting!;
  if (step.kind === "invoke" || step.kind === "enqueue") return styles.child!;
  return isWait ? styles.waited! : styles.done!;
}

const stateWord = ({ step, isCopied }: Span): string =>
  isCopied ? "copied" : step.state === "waiting" && step.kind === "run" ? "retrying" : step.state;

export function Timeline({ run, chosen, onChoose }: Props) {
  const [isTrue, setTrue] = useState(false);
  const created = Date.parse(run.createdAt);
  const finished = run.finishedAt === null ? null : Date.parse(run.finishedAt);
  const now = useMovingNow(finished === null && Date.now() - created < YOUNG_MS);
  const spans = useMemo(() => spansOf(run), [run]);
  const rest = restOf(run, spans);
  const end = finished ?? Math.max(now, created + 1);

  const instants = useMemo(
    () => [created, end, ...spans.flatMap(({ from, to }) => [from, to ?? end])].map((at) => Math.min(at, end)),
    [created, end, spans],
  );
  const scale = useMemo(
    () => (isTrue ? trueScale(created, end) : squeezedScale(instants)),
    [isTrue, created, end, instants],
  );
  const ticks = useMemo(
    () =>
      isTrue
        ? [0, 0.2, 0.4, 0.6, 0.8].map((share) => created + share * (end - created))
        : ticksOf(instants, scale, narrow.matches ? 0.3 : 0.24),
    [isTrue, created, end, instants, scale],
  );

  const rows = spans.length + 1 + (rest === undefined ? 0 : 1);
  const box = useRef<HTMLOListElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const above = box.current === null ? 0 : box.current.getBoundingClientRect().top + window.scrollY;
    setTop((before) => (Math.abs(before - above) > 1 ? above : before));
  });
  const rowPx = narrow.matches ? 54 : 34;
  const virtual = useWindowVirtualizer({ count: rows, estimateSize: () => rowPx, overscan: 20, scrollMargin: top });

  const keysInOrder: (string | undefined)[] = [undefined, ...spans.map(({ step }) => step.key)];
  const move = (by: number): void => {
    const next = Math.min(keysInOrder.length - 1, Math.max(0, keysInOrder.indexOf(chosen) + by));
    onChoose(keysInOrder[next]);
    virtual.scrollToIndex(next);
  };
  useShortcuts({ j: () => move(1), k: () => move(-1) });

  return (
    <div className={styles.timeline}>
      <div className={styles.axis}>
        <div className={styles.toggle}>
          <button
            type="button"
            aria-pressed={!isTrue}
            onClick={() => setTrue(false)}
            title="Long waits are squeezed, so that short steps are seen"
          >
            Squeezed
          </button>
          <button type="button" aria-pressed={isTrue} onClick={() => setTrue(true)}>
            To scale
          </button>
        </div>
        <div className={styles.ticks} aria-hidden="true">
          {ticks.map((at) => (
            <span key={at} style={{ left: `${scale(at) * 100}%` }}>
              {at - created < 1 ? "0" : `+${span(at - created)}`}
            </span>
          ))}
        </div>
        <span className={styles.total}>{span(end - created)}</span>
      </div>
      <ol ref={box} className={styles.rows} style={{ height: virtual.getTotalSize() }} aria-label="Steps">
        {virtual.getVirtualItems().map((item) => {
          const place = { height: rowPx, transform: `translateY(${item.start - top}px)` };
          if (item.index === 0)
            return (
              <Row
                key="run"
                style={place}
                icon={<Workflow />}
                name={run.function}
                isWhole
                isChosen={chosen === undefined}
                onChoose={() => onChoose(undefined)}
                word={run.state}
                length={span(end - created)}
              >
                <Bar
                  from={0}
                  to={1}
                  look={`${styles.whole} ${run.state === "failed" ? styles.failed : run.state === "completed" ? styles.done : run.finishedAt === null ? styles.open : styles.dropped}`}
                />
              </Row>
            );
          const found = spans[item.index - 1];
          if (found === undefined)
            return (
              <li key="rest" className={`${styles.row} ${styles.rest}`} style={place}>
                <span className={styles.name}>
                  <i className={styles.beat} aria-hidden="true" />
                  {rest!.word}
                </span>
                <span className={styles.track}>
                  <Bar from={scale(rest!.from)} to={1} look={styles.moving!} />
                </span>
                <span className={styles.length}>{span(end - rest!.from)}</span>
              </li>
            );
          return (
            <StepRow
              key={found.step.key}
              found={found}
              end={end}
              scale={scale}
              style={place}
              isChosen={chosen === found.step.key}
              onChoose={() => onChoose(found.step.key)}
            />
          );
        })}
      </ol>
    </div>
  );
}

type StepRowProps = {
  readonly found: Span;
  readonly end: number;
  readonly scale: Scale;
  readonly style: React.CSSProperties;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
};

function StepRow({ found, end, scale, style, isChosen, onChoose }: StepRowProps) {
  const { step, from, to } = found;
  const { icon: Icon } = kindOf(step);
  const isOpen = to === null;
  return (
    <Row
      style={style}
      icon={<Icon />}
      name={step.key}
      note={noteOf(step)}
      isChosen={isChosen}
      onChoose={onChoose}
      word={stateWord(found)}
      length={isOpen ? `${span(end - from)}…` : span(to - from)}
    >
      <Bar from={scale(from)} to={scale(to ?? end)} look={lookOf(found)} />
      {isOpen && step.dueAt !== null && <Until at={step.dueAt} now={end} place={scale(from)} />}
    </Row>
  );
}

const noteOf = (step: StepView): string | undefined => (step.attempt > 1 ? `attempt ${step.attempt}` : undefined);

/** Until when a wait goes on, written on its bar. */
function Until({ at, now, place }: { readonly at: string; readonly now: number; readonly place: number }) {
  const due = Date.parse(at);
  return (
    <span
      className={styles.until}
      style={
        place > 0.4 ? { right: `calc(${(1 - place) * 100}% + 8px)` } : { left: `calc(${place * 100}% + 8px)`, right: 0 }
      }
      title={`${localTime(due)} · ${utcTime(due)}`}
    >
      {due > now ? `until ${shortTime(due)} · ${span(Math.max(1_000, due - now))}` : "due"}
    </span>
  );
}

function Bar({ from, to, look }: { readonly from: number; readonly to: number; readonly look: string }) {
  return (
    <span
      className={`${styles.bar} ${look}`}
      style={{ left: `${from * 100}%`, width: `max(4px, ${(to - from) * 100}%)` }}
    />
  );
}

type RowProps = {
  readonly style: React.CSSProperties;
  readonly icon: React.ReactNode;
  readonly name: string;
  readonly note?: string | undefined;
  readonly isWhole?: boolean;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
  /** Its state, for those who hear the page. */
  readonly word: string;
  readonly length: string;
  readonly children: React.ReactNode;
};

function Row({ style, icon, name, note, isWhole = false, isChosen, onChoose, word, length, children }: RowProps) {
  return (
    <li className={styles.item} style={style}>
      <button
        type="button"
        className={`${styles.row} ${isChosen ? styles.chosen : ""} ${isWhole ? styles.first : ""}`}
        aria-current={isChosen || undefined}
        onClick={onChoose}
      >
        <span className={styles.name}>
          {icon}
          <span className="cut" title={name}>
            {name}
          </span>
          {note !== undefined && <span className={styles.note}>{note}</span>}
        </span>
        <span className={styles.track} aria-hidden="true">
          {children}
        </span>
        <span className="unseen">{word}</span>
        <span className={styles.length}>{length}</span>
      </button>
    </li>
  );
}
