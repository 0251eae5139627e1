/** What went wrong, in the server's own words, with a way to try again. */
import { RotorApiError } from "@rotorsh/sdk";
import { TriangleAlert } from "lucide-react";
import { Button } from "./button.js";
import styles from "./notice.module.css";

type Props = { readonly error: unknown; readonly onRetry?: () => void };

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export function ErrorNotice({ error, onRetry }: Props) {
  const isMissing = error instanceof RotorApiError && error.status === 404;
  return (
    <div role="alert" className={styles.error}>
      <TriangleAlert aria-hidden="true" />
      <div>
        <strong>{isMissing ? "It is not here" : "This could not be read"}</strong>
        <p>{messageOf(error)}</p>
      </div>
      {onRetry !== undefined && !isMissing && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

/** A sentence that needs somebody's eye, without an error. */
export function Notice({
  tone,
  children,
}: {
  readonly tone: "red" | "amber" | "blue";
  readonly children: React.ReactNode;
}) {
  return <div className={`${styles.notice} ${styles[tone]}`}>{children}</div>;
}
