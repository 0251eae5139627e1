/** An error of an app's: name, words, stack, and what caused it. */
import type { Delivery } from "@rotorsh/sdk";
import styles from "./error-view.module.css";
import { TextView } from "./json-view.js";

type WireError = NonNullable<Delivery["error"]>;

/** Causes of causes that are shown. */
const DEEPEST = 8;

export function ErrorView({ error, depth = 0 }: { readonly error: WireError; readonly depth?: number }) {
  return (
    <div className={styles.error}>
      <p className={styles.message}>
        <strong>
          {depth > 0 && "Caused by "}
          {error.name}
        </strong>
        {error.code !== undefined && <code>{error.code}</code>}
        <span>{error.message}</span>
      </p>
      {error.stack !== undefined && (
        <details>
          <summary>Stack</summary>
          <TextView label="Stack" text={error.stack} />
        </details>
      )}
      {error.cause !== undefined && depth < DEEPEST && <ErrorView error={error.cause} depth={depth + 1} />}
    </div>
  );
}
