/** Numbers of things, as they are known: exactly, or about. */
import type { Count } from "@rotorsh/sdk";

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** `1,204`, `about 1.2M`. */
export const countText = ({ count, exact }: Count): string =>
  exact ? count.toLocaleString("en") : `about ${compact.format(count)}`;

type Props = {
  readonly of: Count | undefined;
  /** Coloured where there are any. */
  readonly tone?: "red" | "amber";
};

export function CountText({ of, tone }: Props) {
  if (of === undefined) return <span className="faint">–</span>;
  if (of.count === 0) return <span className="faint number">0</span>;
  return <span className={`number ${tone === undefined ? "" : `tone-${tone}`}`}>{countText(of)}</span>;
}
