/** Where there is nothing to show: what would stand here, and what to do for it. */
import type { ReactNode } from "react";
import styles from "./notice.module.css";

type Props = {
  readonly title: string;
  readonly children?: ReactNode;
  /** A command or lines of code that make the first one. */
  readonly code?: string;
};

export function EmptyState({ title, children, code }: Props) {
  return (
    <div className={styles.empty}>
      <h2>{title}</h2>
      {children !== undefined && <p>{children}</p>}
      {code !== undefined && <pre>{code}</pre>}
    </div>
  );
}
