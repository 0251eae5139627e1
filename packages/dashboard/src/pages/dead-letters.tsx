/** What failed for good: looked through, retried by hand or all that a filter finds, at a rate; or removed. */
import type { DeadLetter } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { Trash2, Undo2 } from "lucide-react";
import { useMemo, useState } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useFunctionChoices, useQueueChoices } from "../api/names.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { Page } from "../ui/page.js";
import { Tags } from "../ui/tags.js";
import { TimeFilter } from "../ui/time-filter.js";
import { TimeText } from "../ui/time-text.js";
import { plural, shortId } from "../ui/words.js";
import styles from "./dead-letters/dead-letters.module.css";
import { PurgeDialog } from "./dead-letters/purge.js";
import { RetryDialog } from "./dead-letters/retry.js";

const route = getRouteApi("/shell/dead-letters");

const columns: readonly Column<DeadLetter>[] = [
  { id: "queue", header: "Queue or function", width: "minmax(0, 0.6fr)", cell: (letter) => letter.queue },
  {
    id: "error",
    header: "Error",
    cell: (letter) => (
      <>
        <span className={styles.name}>{letter.error?.name}</span> <span className="muted">{letter.error?.message}</span>
      </>
    ),
  },
  {
    id: "tags",
    header: "Tags",
    width: "minmax(0, 0.35fr)",
    isWideOnly: true,
    cell: (letter) => <Tags tags={letter.tags} />,
  },
  {
    id: "attempts",
    header: "Attempts",
    width: "76px",
    align: "right",
    isWideOnly: true,
    cell: (letter) => letter.attempt,
  },
  {
    id: "id",
    header: "Id",
    width: "110px",
    isWideOnly: true,
    cell: (letter) => <code className="faint">{shortId(letter.id)}</code>,
  },
  {
    id: "failed",
    header: "Failed",
    width: "80px",
    align: "right",
    cell: (letter) => <TimeText at={letter.finishedAt} />,
  },
];

export function DeadLetters() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [asking, setAsking] = useState<"retry" | "purge">();
  const set = (part: Partial<typeof search>) => {
    setChosen(new Set());
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  };
  const { rows, isLoading, onEnd, error, refetch } = useListing(keys.deadLetters(search), (signal) =>
    rotor.dlq.list({ ...search, limit: 100, signal }),
  );
  const queues = useQueueChoices();
  const functions = useFunctionChoices();
  const isFiltered = Object.keys(search).length > 0;
  const shown = useMemo(() => (mayWrite ? [choosing(chosen, setChosen), ...columns] : columns), [mayWrite, chosen]);
  const selection = chosen.size > 0 ? { ids: [...chosen] } : { filter: search };
  const what = chosen.size > 0 ? plural(chosen.size, "chosen one") : isFiltered ? "all of these" : "all";
  return (
    <Page
      title="Dead letters"
      actions={
        mayWrite &&
        rows.length > 0 && (
          <>
            <Button kind="danger" icon={<Trash2 />} onClick={() => setAsking("purge")}>
              Remove {what}
            </Button>
            <Button kind="primary" icon={<Undo2 />} onClick={() => setAsking("retry")}>
              Retry {what}
            </Button>
          </>
        )
      }
    >
      <Filters onClear={isFiltered ? () => void navigate({ search: {}, replace: true }) : undefined}>
        <TextFilter
          isSearch
          label="Text of the error"
          placeholder="Error text"
          value={search.error}
          onChange={(error) => set({ error })}
        />
        <ChoiceFilter
          label="Queue or function"
          any="All queues and functions"
          value={search.queue}
          onChange={(queue) => set({ queue })}
          choices={{
            Queues: queues,
            Functions: functions,
          }}
        />
        <TextFilter label="Tag" value={search.tag} onChange={(tag) => set({ tag })} />
        <TimeFilter after={search.after} before={search.before} onChange={set} />
      </Filters>
      {error ? (
        <ErrorNotice error={error} onRetry={refetch} />
      ) : (
        <DataTable
          label="Dead letters"
          columns={shown}
          rows={rows}
          rowKey={(letter) => letter.id}
          rowLink={(letter) =>
            letter.kind === "function"
              ? { to: "/runs/$runId", params: { runId: letter.id } }
              : { to: "/jobs/$jobId", params: { jobId: letter.id } }
          }
          linkColumn={mayWrite ? 1 : 0}
          isLoading={isLoading}
          onEnd={onEnd}
          empty={
            isFiltered ? (
              <EmptyState title="No dead letter is like this">Take a filter away to see more.</EmptyState>
            ) : (
              <EmptyState title="Nothing has failed for good">
                A job or run whose attempts are used up comes here, and stays until it is retried, removed, or its
                retention ends.
              </EmptyState>
            )
          }
        />
      )}
      {asking === "retry" && (
        <RetryDialog
          selection={selection}
          what={what}
          onClose={() => setAsking(undefined)}
          onDone={() => setChosen(new Set())}
        />
      )}
      {asking === "purge" && (
        <PurgeDialog
          selection={selection}
          what={what}
          onClose={() => setAsking(undefined)}
          onDone={() => setChosen(new Set())}
        />
      )}
    </Page>
  );
}

/** The column of boxes that choose single ones. */
const choosing = (
  chosen: ReadonlySet<string>,
  onChange: (chosen: ReadonlySet<string>) => void,
): Column<DeadLetter> => ({
  id: "choose",
  header: "Choose",
  isHeaderUnseen: true,
  width: "18px",
  cell: ({ id, queue }) => (
    <input
      type="checkbox"
      className={styles.box}
      aria-label={`Choose ${shortId(id)} of ${queue}`}
      checked={chosen.has(id)}
      onChange={({ target: { checked } }) => {
        const next = new Set(chosen);
        if (checked) next.add(id);
        else next.delete(id);
        onChange(next);
      }}
    />
  ),
});
