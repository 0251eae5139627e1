/** From when to when a list goes: a stretch up to now by one click, or two times of the reader's own; UTC in the address. */
import { Popover } from "@base-ui/react/popover";
import { Clock } from "lucide-react";
import { useState } from "react";
import { Button } from "./button.js";
import { Field } from "./dialog.js";
import filterStyles from "./filters.module.css";
import { localTime } from "./time.js";
import styles from "./time-filter.module.css";

type Props = {
  /** RFC 3339, both. */
  readonly after: string | undefined;
  readonly before: string | undefined;
  readonly onChange: (range: { readonly after: string | undefined; readonly before: string | undefined }) => void;
};

const HOUR_MS = 3_600_000;
const STRETCHES = [
  ["Last 15 minutes", HOUR_MS / 4],
  ["Last hour", HOUR_MS],
  ["Last 24 hours", 24 * HOUR_MS],
  ["Last 7 days", 168 * HOUR_MS],
] as const;

const timeOf = (at: string | undefined): number | undefined => {
  const time = at === undefined ? Number.NaN : Date.parse(at);
  return Number.isNaN(time) ? undefined : time;
};

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

function wordOf(after: string | undefined, before: string | undefined): string {
  const [from, to] = [timeOf(after), timeOf(before)];
  if (from === undefined && to === undefined) return "Any time";
  if (to === undefined) return `Since ${localTime(from!)}`;
  return from === undefined ? `Before ${localTime(to)}` : `${localTime(from)} – ${localTime(to)}`;
}

export function TimeFilter({ after, before, onChange }: Props) {
  const [isOpen, setOpen] = useState(false);
  const choose = (range: Parameters<Props["onChange"]>[0]) => {
    onChange(range);
    setOpen(false);
  };
  const isChosen = after !== undefined || before !== undefined;
  return (
    <Popover.Root open={isOpen} onOpenChange={setOpen}>
      <Popover.Trigger
        aria-label={`Time: ${wordOf(after, before)}`}
        className={`${filterStyles.field} ${styles.trigger} ${isChosen ? filterStyles.chosen : ""}`}
      >
        <Clock aria-hidden="true" />
        {wordOf(after, before)}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={6} align="start" className={styles.positioner}>
          <Popover.Popup className={styles.popup} aria-label="Time">
            <div className={styles.stretches}>
              {STRETCHES.map(([word, ms]) => (
                <Button
                  key={word}
                  kind="quiet"
                  onClick={() => choose({ after: new Date(Date.now() - ms).toISOString(), before: undefined })}
                >
                  {word}
                </Button>
              ))}
              <Button kind="quiet" onClick={() => choose({ after: undefined, before: undefined })}>
                Any time
              </Button>
            </div>
            <form
              className={styles.own}
              onSubmit={(event) => {
                event.preventDefault();
                const form = new FormData(event.currentTarget);
                choose({ after: utcText(String(form.get("after"))), before: utcText(String(form.get("before"))) });
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
