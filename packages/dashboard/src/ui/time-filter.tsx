/** From when to when: the reader's own time in the browser's picker, UTC in the address. */
import styles from "./filters.module.css";

type Props = {
  readonly label: string;
  /** RFC 3339. */
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
};

/** As the picker writes it: `2026-11-28T19:52` where the reader is. */
function localText(at: string | undefined): string {
  const time = at === undefined ? Number.NaN : Date.parse(at);
  if (Number.isNaN(time)) return "";
  const date = new Date(time);
  return new Date(time - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function TimeFilter({ label, value, onChange }: Props) {
  return (
    <label className={`${styles.field} ${styles.time} ${value === undefined ? "" : styles.chosen}`}>
      <span>{label}</span>
      <input
        type="datetime-local"
        value={localText(value)}
        onChange={(event) => {
          const time = Date.parse(event.target.value);
          onChange(Number.isNaN(time) ? undefined : new Date(time).toISOString());
        }}
      />
    </label>
  );
}
