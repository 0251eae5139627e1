/** Retries what was chosen: told first how many they are, then done at a rate, with its progress. */
import type { DeadLetterFilter, Rate } from "@rotorsh/sdk";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { rotor } from "../../api/client.js";
import { Button } from "../../ui/button.js";
import { Dialog, DialogActions, Field } from "../../ui/dialog.js";
import formStyles from "../../ui/dialog.module.css";
import { messageOf } from "../../ui/error-notice.js";
import { span } from "../../ui/time.js";
import { plural } from "../../ui/words.js";
import styles from "./dead-letters.module.css";

type Props = {
  readonly selection: { readonly ids: readonly string[] } | { readonly filter: DeadLetterFilter };
  readonly what: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
};

const RATE = /^[1-9]\d{0,6}\/[smh]$/;
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** How long it takes until the last of so many is due. */
function lengthOf(count: number, rate: string): number {
  const [each, unit] = rate.split("/") as [string, keyof typeof UNIT_MS];
  return (count / Number(each)) * UNIT_MS[unit];
}

export function RetryDialog({ selection, what, onClose, onDone }: Props) {
  const cache = useQueryClient();
  const [rate, setRate] = useState("");
  const [isRejectedToo, setRejectedToo] = useState(false);
  const [state, setState] = useState<"asking" | "busy" | "done">("asking");
  const [soFar, setSoFar] = useState(0);
  const [error, setError] = useState<unknown>();
  const preview = useQuery({
    queryKey: ["dead-letters-preview", selection, isRejectedToo],
    queryFn: ({ signal }) =>
      rotor.dlq.replay({ ...selection, includeRejected: isRejectedToo, dryRun: true }, { signal }),
    gcTime: 0,
  });
  const total = preview.data?.replayed ?? 0;
  const isRateGood = rate === "" || RATE.test(rate);
  const start = async (): Promise<void> => {
    setState("busy");
    setError(undefined);
    try {
      const { replayed } = await rotor.dlq.replay(
        // What failed since the preview is left alone, and so is what this has done if it is asked again.
        {
          ...selection,
          includeRejected: isRejectedToo,
          before: preview.data!.before,
          ...(rate !== "" && { rate: rate as Rate }),
        },
        { onProgress: setSoFar },
      );
      setSoFar(replayed);
      setState("done");
      onDone();
    } catch (reason) {
      setError(reason);
      setState("asking");
    }
    await Promise.all(["dead-letters", "jobs", "runs"].map((kind) => cache.invalidateQueries({ queryKey: [kind] })));
  };
  return (
    <Dialog title={`Retry ${what}`} isOpen onClose={onClose}>
      <form
        className={formStyles.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (state === "asking" && isRateGood && total > 0) void start();
        }}
      >
        {preview.error ? (
          <p role="alert" className={formStyles.error}>
            {messageOf(preview.error)}
          </p>
        ) : (
          <p>
            {preview.data === undefined
              ? "Counting…"
              : `${plural(total, "dead letter")} will wait again, with all attempts, the oldest first.`}
          </p>
        )}
        <Field
          label="Rate"
          hint={
            !isRateGood
              ? "Write it as 10/s, 100/m or 500/h."
              : rate !== "" && total > 0
                ? `The last of them is due in ${span(lengthOf(total, rate))}.`
                : "At most so many become due in that time, such as 10/s. Left empty: all at once."
          }
        >
          <input
            value={rate}
            placeholder="all at once"
            spellCheck={false}
            aria-invalid={!isRateGood}
            disabled={state !== "asking"}
            onChange={(event) => setRate(event.target.value.trim())}
          />
        </Field>
        {"filter" in selection && (
          <label className="row">
            <input
              type="checkbox"
              checked={isRejectedToo}
              disabled={state !== "asking"}
              onChange={(event) => setRejectedToo(event.target.checked)}
            />
            Also what a person turned down
          </label>
        )}
        {state !== "asking" && (
          <div className={styles.progress} role="status">
            <progress
              max={Math.max(1, total)}
              value={state === "done" ? Math.max(1, total) : soFar}
              aria-label="Retried so far"
            />
            <span className="number">
              {state === "done"
                ? `${plural(soFar, "dead letter")} wait again.`
                : `${soFar.toLocaleString("en")} of ${total.toLocaleString("en")}`}
            </span>
          </div>
        )}
        {error !== undefined && (
          <p role="alert" className={formStyles.error}>
            {messageOf(error)}
          </p>
        )}
        <DialogActions>
          <Button onClick={onClose}>{state === "done" ? "Close" : "Not now"}</Button>
          {state !== "done" && (
            <Button type="submit" kind="primary" isBusy={state === "busy"} disabled={total === 0 || !isRateGood}>
              Retry {total > 0 ? total.toLocaleString("en") : ""}
            </Button>
          )}
        </DialogActions>
      </form>
    </Dialog>
  );
}
