/** An instant: in lists how long ago, with both zones on hover; elsewhere the reader's time with UTC beside it. */
import { useNow } from "./now.js";
import { localTime, relative, span, utcTime } from "./time.js";

type Props = {
  /** RFC 3339; null shows a dash. */
  readonly at: string | null | undefined;
  /** `relative` (default): "3 min ago", counting. `full`: the reader's time, and UTC beside it. */
  readonly as?: "relative" | "full";
};

export function TimeText({ at, as = "relative" }: Props) {
  if (at === null || at === undefined) return <span className="faint">–</span>;
  const time = Date.parse(at);
  if (as === "full")
    return (
      <time dateTime={at} title={at}>
        {localTime(time)} <span className="faint">{utcTime(time)}</span>
      </time>
    );
  return <Relative at={at} time={time} />;
}

function Relative({ at, time }: { readonly at: string; readonly time: number }) {
  const now = useNow();
  return (
    <time dateTime={at} title={`${localTime(time)} · ${utcTime(time)}`}>
      {relative(time, now)}
    </time>
  );
}

/** How long something took; "–" where that is not known. */
export function Span({ ms }: { readonly ms: number | null | undefined }) {
  return <span className="number">{ms === null || ms === undefined ? "–" : span(ms)}</span>;
}
