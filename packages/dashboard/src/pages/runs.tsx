/** Runs of functions, the newest first. */
import type { Run } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useFunctionChoices } from "../api/names.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { Page } from "../ui/page.js";
import { StateBadge } from "../ui/state-badge.js";
import { STATE_CHOICES } from "../ui/state-choices.js";
import { Tags } from "../ui/tags.js";
import { TimeFilter } from "../ui/time-filter.js";
import { Span, TimeText } from "../ui/time-text.js";
import { shortId } from "../ui/words.js";

const route = getRouteApi("/shell/runs");

const columns: readonly Column<Run>[] = [
  { id: "state", header: "State", width: "150px", cell: (run) => <StateBadge state={run.state} reason={run.reason} /> },
  { id: "function", header: "Function", cell: (run) => run.function },
  {
    id: "event",
    header: "Started by",
    isWideOnly: true,
    cell: (run) => <span className="muted">{run.event.name}</span>,
  },
  { id: "tags", header: "Tags", width: "minmax(0, 0.6fr)", isWideOnly: true, cell: (run) => <Tags tags={run.tags} /> },
  {
    id: "id",
    header: "Run",
    width: "110px",
    isWideOnly: true,
    cell: (run) => <code className="faint">{shortId(run.id)}</code>,
  },
  {
    id: "took",
    header: "Took",
    width: "96px",
    align: "right",
    isWideOnly: true,
    cell: (run) =>
      run.finishedAt === null ? "" : <Span ms={Date.parse(run.finishedAt) - Date.parse(run.createdAt)} />,
  },
  { id: "created", header: "Started", width: "88px", align: "right", cell: (run) => <TimeText at={run.createdAt} /> },
];

export function Runs() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  const { rows, isLoading, onEnd, error, refetch } = useListing(keys.runs(search), (signal) =>
    rotor.runs.list({
      function: search.function,
      state: search.state as Run["state"] | undefined,
      event: search.event,
      tag: search.tag,
      eventId: search.event_id,
      createdAfter: search.after,
      createdBefore: search.before,
      brief: true,
      limit: 100,
      signal,
    }),
  );
  const functions = useFunctionChoices();
  const isFiltered = Object.keys(search).length > 0;
  return (
    <Page title="Runs">
      <Filters onClear={isFiltered ? () => void navigate({ search: {}, replace: true }) : undefined}>
        <TextFilter
          isSearch
          label="Event that started it"
          placeholder="Event name"
          value={search.event}
          onChange={(event) => set({ event })}
        />
        <ChoiceFilter
          label="Function"
          any="All functions"
          value={search.function}
          onChange={(id) => set({ function: id })}
          choices={functions}
        />
        <ChoiceFilter
          label="State"
          any="All states"
          value={search.state}
          onChange={(state) => set({ state })}
          choices={STATE_CHOICES}
        />
        <TextFilter label="Tag" value={search.tag} onChange={(tag) => set({ tag })} />
        <TimeFilter after={search.after} before={search.before} onChange={set} />
      </Filters>
      {error ? (
        <ErrorNotice error={error} onRetry={refetch} />
      ) : (
        <DataTable
          label="Runs"
          columns={columns}
          rows={rows}
          rowKey={(run) => run.id}
          rowLink={(run) => ({ to: "/runs/$runId", params: { runId: run.id } })}
          isLoading={isLoading}
          onEnd={onEnd}
          empty={
            isFiltered ? (
              <EmptyState title="No run is like this">Take a filter away to see more.</EmptyState>
            ) : (
              <EmptyState
                title="No run yet"
                code={
                  'rotor functions sync http://127.0.0.1:3000/api/rotor\nrotor send contact.created \'{"contactId": "c-1"}\''
                }
              >
                A run begins when an event comes that a function listens for, or when it is started directly.
              </EmptyState>
            )
          }
        />
      )}
    </Page>
  );
}
