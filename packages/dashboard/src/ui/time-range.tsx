/** The two ways to choose a time range: a stretch up to now, or two times of the reader's own. Loaded when it is first opened. */
import { Popover } from "@base-ui/react/popover";
import type { RefObject } from "react";
import { Button } from "./button.js";
import { Field } from "./dialog.js";
import { timeOf } from "./time.js";
import type { TimeRange } from "./time-filter.js";
import styles from "./time-filter.module.css";

type Props = TimeRange & {
  /** What it opens beside. */
  readonly anchor: RefObject<HTMLButtonElement | null>;
  readonly onChoose: (range: TimeRange) => void;
  readonly onClose: () => void;
};

const HOUR_MS = 3_600_000;
const STRETCHES = [
  ["Last 15 minutes", HOUR_MS / 4],
  ["Last hour", HOUR_MS],
  ["Last 24 hours", 24 * HOUR_MS],
  ["Last 7 days", 168 * HOUR_MS],
] as const;

/** As the browser's picker writes it: `2026-11-28T19:52` where the reader is. */
function localText(at: string | undefined): string {
  const time = timeOf(at);
  return time === undefined
    ? ""
    : new Date(time - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function utcText(local: string): string | undefined {
  const time = timeOf(local);
  return time === undefined ? undefined : new Date(time).toISOString();
}

export function TimeRangePopup({ after, before, anchor, onChoose, onClose }: Props) {
  return (
    <Popover.Root open onOpenChange={(open) => !open && onClose()}>
      <Popover.Portal>
        <Popover.Positioner anchor={anchor} sideOffset={6} align="start" className={styles.positioner}>
          <Popover.Popup className={styles.popup} aria-label="Time" finalFocus={anchor}>
            <div className={styles.stretches}>
              {STRETCHES.map(([word, ms]) => (
                <Button
                  key={word}
                  kind="quiet"
                  onClick={() => onChoose({ after: new Date(Date.now() - ms).toISOString(), before: undefined })}
                >
                  {word}
                </Button>
              ))}
              <Button kind="quiet" onClick={() => onChoose({ after: undefined, before: undefined })}>
                Any time
              </Button>
            </div>
            <form
              className={styles.own}
              onSubmit={(event) => {
                event.preventDefault();
                const form = new FormData(event.currentTarget);
                onChoose({ after: utcText(String(form.get("after"))), before: utcText(String(form.get("before"))) });
              }}
            >
              <Field label="From">
                <input name="after" type="datetime-local" defaultValue={localText(after)} />
              </Field>
              <Field label="Until">
                <input name="before" type="datetime-local" defaultValue={localText(before)} />
              </Field>
              <Button type="submit">Show</Button>
            </form>
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}
