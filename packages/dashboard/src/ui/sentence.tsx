/** A sentence of the server's: instants in it become the reader's time with UTC beside, and what counts down, counts. */
import { useNow } from "./now.js";
import { localTime, span, utcTime } from "./time.js";

const INSTANT = /(?:(in [\d.]+[smhd]|now) \()?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)(\))?/g;

export function Sentence({ text }: { readonly text: string }) {
  const parts: React.ReactNode[] = [];
  let end = 0;
  for (const match of text.matchAll(INSTANT)) {
    const [whole, counted, at, closed] = match;
    parts.push(text.slice(end, match.index));
    parts.push(<Instant key={match.index} at={at!} isCounted={counted !== undefined} />);
    end = match.index + whole.length;
    if (counted === undefined && closed !== undefined) parts.push(closed);
  }
  parts.push(text.slice(end));
  return <>{parts}</>;
}

function Instant({ at, isCounted }: { readonly at: string; readonly isCounted: boolean }) {
  const now = useNow();
  const time = Date.parse(at);
  const shown = `${localTime(time)} · ${utcTime(time)}`;
  if (!isCounted)
    return (
      <time dateTime={at} title={at}>
        {shown}
      </time>
    );
  return (
    <>
      <strong className="number">{time > now ? `in ${span(Math.max(1_000, time - now))}` : "now"}</strong>{" "}
      <time dateTime={at} title={at} className="muted">
        ({shown})
      </time>
    </>
  );
}
