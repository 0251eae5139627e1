/** How much of a limit is in use. */
import type { Count } from "@rotorsh/sdk";
import { countText } from "./count.js";
import styles from "./meter.module.css";

type Props = { readonly used: Count | undefined; readonly limit: number | null };

export function Meter({ used, limit }: Props) {
  if (used === undefined) return <span className="faint">–</span>;
  const share = limit === null ? 0 : Math.min(1, used.count / limit);
  return (
    <span className={`${styles.meter} ${share >= 1 ? styles.full : ""}`}>
      {limit !== null && (
        <span className={styles.bar} aria-hidden="true">
          <span className={styles.fill} style={{ width: `${share * 100}%` }} />
        </span>
      )}
      <span className={used.count === 0 ? "number faint" : "number"}>
        {countText(used)}
        {limit === null ? "" : ` of ${limit.toLocaleString("en")}`}
      </span>
    </span>
  );
}
