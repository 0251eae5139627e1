/** Jobs of all callback queues, the newest first. */
import type { Job } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useQueueChoices } from "../api/names.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { Page } from "../ui/page.js";
import { StateBadge } from "../ui/state-badge.js";
import { STATE_CHOICES } from "../ui/state-choices.js";
import { Tags } from "../ui/tags.js";
import { TimeFilter } from "../ui/time-filter.js";
import { TimeText } from "../ui/time-text.js";
import { shortId } from "../ui/words.js";

const route = getRouteApi("/shell/jobs");

const columns: readonly Column<Job>[] = [
  { id: "state", header: "State", width: "150px", cell: (job) => <StateBadge state={job.state} reason={job.reason} /> },
  { id: "queue", header: "Queue", width: "minmax(0, 0.8fr)", cell: (job) => job.queue },
  {
    id: "job",
    header: "Job",
    width: "minmax(0, 0.9fr)",
    isWideOnly: true,
    cell: (job) => (job.jobId === null ? <code className="faint">{shortId(job.id)}</code> : job.jobId),
  },
  {
    id: "attempt",
    header: "Attempt",
    width: "76px",
    isWideOnly: true,
    cell: (job) => `${job.attempt} of ${job.maxAttempts}`,
  },
  {
    id: "error",
    header: "Last error",
    isWideOnly: true,
    cell: (job) => <span className="muted">{job.error?.message}</span>,
  },
  { id: "tags", header: "Tags", width: "minmax(0, 0.5fr)", isWideOnly: true, cell: (job) => <Tags tags={job.tags} /> },
  { id: "created", header: "Enqueued", width: "88px", align: "right", cell: (job) => <TimeText at={job.createdAt} /> },
];

export function Jobs() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  const { rows, isLoading, onEnd, error, refetch } = useListing(keys.jobs(search), (signal) =>
    rotor.jobs.listAll({
      queue: search.queue,
      state: search.state as Job["state"] | undefined,
      tag: search.tag,
      error: search.error,
      createdAfter: search.after,
      createdBefore: search.before,
      brief: true,
      limit: 100,
      signal,
    }),
  );
  const queues = useQueueChoices();
  const isFiltered = Object.keys(search).length > 0;
  return (
    <Page title="Jobs">
      <Filters onClear={isFiltered ? () => void navigate({ search: {}, replace: true }) : undefined}>
        <TextFilter
          isSearch
          label="Text of the last error"
          placeholder="Error text"
          value={search.error}
          onChange={(error) => set({ error })}
        />
        <ChoiceFilter
          label="Queue"
          any="All queues"
          value={search.queue}
          onChange={(queue) => set({ queue })}
          choices={queues}
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
          label="Jobs"
          columns={columns}
          rows={rows}
          rowKey={(job) => job.id}
          rowLink={(job) => ({ to: "/jobs/$jobId", params: { jobId: job.id } })}
          isLoading={isLoading}
          onEnd={onEnd}
          empty={
            isFiltered ? (
              <EmptyState title="No job is like this">Take a filter away to see more.</EmptyState>
            ) : (
              <EmptyState
                title="No job yet"
                code={
                  'rotor queues create emails --callback-url http://127.0.0.1:3000/emails\nrotor jobs enqueue emails \'{"to": "ada@example.com"}\''
                }
              >
                A job is a payload that Rotor POSTs to its queue's URL until it is answered with success.
              </EmptyState>
            )
          }
        />
      )}
    </Page>
  );
}
