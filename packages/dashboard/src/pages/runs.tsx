/** Runs of functions, the newest first. */
import type { Run } from "@rotorsh/sdk";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { POLL_MS } from "../api/live.js";
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
  const list = useInfiniteQuery({
    queryKey: keys.runs(search),
    queryFn: ({ pageParam, signal }) =>
      rotor.runs
        .list({
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
        })
        .page(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 1) > 2 ? false : POLL_MS),
    placeholderData: (before) => before,
  });
  const functions = useQuery({
    queryKey: keys.functions(),
    queryFn: async () => (await rotor.functions.list({ limit: 500 }).page()).data,
  });
  const rows = list.data?.pages.flatMap((page) => page.data) ?? [];
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
          choices={(functions.data ?? []).map(({ id }) => ({ value: id, label: id }))}
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
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      ) : (
        <DataTable
          label="Runs"
          columns={columns}
          rows={rows}
          rowKey={(run) => run.id}
          rowLink={(run) => ({ to: "/runs/$runId", params: { runId: run.id } })}
          isLoading={list.isPending || list.isFetchingNextPage}
          onEnd={list.hasNextPage ? () => void list.fetchNextPage() : undefined}
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
