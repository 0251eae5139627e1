/** From when to when a list goes. RFC 3339 in the address, the reader's own time on the page. */
import { Clock } from "lucide-react";
import { lazy, Suspense, useRef, useState } from "react";
import filterStyles from "./filters.module.css";
import { localTime, timeOf } from "./time.js";
import styles from "./time-filter.module.css";

export type TimeRange = { readonly after: string | undefined; readonly before: string | undefined };

type Props = TimeRange & { readonly onChange: (range: TimeRange) => void };

const TimeRangePopup = lazy(async () => ({ default: (await import("./time-range.js")).TimeRangePopup }));

function wordOf({ after, before }: TimeRange): string {
  const [from, to] = [timeOf(after), timeOf(before)];
  if (from === undefined && to === undefined) return "Any time";
  if (to === undefined) return `Since ${localTime(from!)}`;
  return from === undefined ? `Before ${localTime(to)}` : `${localTime(from)} – ${localTime(to)}`;
}

export function TimeFilter({ after, before, onChange }: Props) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const word = wordOf({ after, before });
  const isChosen = after !== undefined || before !== undefined;
  return (
    <>
      <button
        ref={button}
        type="button"
        aria-label={`Time: ${word}`}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        className={`${filterStyles.field} ${styles.trigger} ${isChosen ? filterStyles.chosen : ""}`}
        onClick={() => setOpen(!isOpen)}
      >
        <Clock aria-hidden="true" />
        {word}
      </button>
      {isOpen && (
        <Suspense>
          <TimeRangePopup
            {...{ after, before }}
            anchor={button}
            onClose={() => setOpen(false)}
            onChoose={(range) => {
              onChange(range);
              setOpen(false);
            }}
          />
        </Suspense>
      )}
    </>
  );
}
