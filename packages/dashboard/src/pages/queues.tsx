/** Callback queues: what waits in them, how they do. */
import type { Queue, QueueStats } from "@rotorsh/sdk";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useMemo, useState } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { useQueueStats } from "../api/stats.js";
import { Button } from "../ui/button.js";
import { CountText } from "../ui/count.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { Field } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { FormDialog, written } from "../ui/form-dialog.js";
import { Meter } from "../ui/meter.js";
import { Page } from "../ui/page.js";
import { Badge } from "../ui/state-badge.js";
import { TimeText } from "../ui/time-text.js";
import { QueueState } from "./overview/standing.js";

const route = getRouteApi("/shell/queues");

type Row = { readonly queue: Queue; readonly stats: QueueStats | undefined };

const columns: readonly Column<Row>[] = [
  { id: "name", header: "Queue", width: "minmax(0, 0.8fr)", cell: ({ queue }) => queue.name },
  {
    id: "state",
    header: "State",
    width: "126px",
    cell: ({ queue, stats }) =>
      queue.callbackUrl === null ? <Badge tone="amber">no URL</Badge> : <QueueState queue={stats} />,
  },
  {
    id: "url",
    header: "Callback URL",
    isWideOnly: true,
    cell: ({ queue }) => <span className="muted">{queue.callbackUrl}</span>,
  },
  { id: "due", header: "Due", width: "84px", align: "right", cell: ({ stats }) => <CountText of={stats?.due} /> },
  {
    id: "oldest",
    header: "Oldest due",
    width: "96px",
    align: "right",
    isWideOnly: true,
    cell: ({ stats }) => <TimeText at={stats?.oldestDueAt} />,
  },
  {
    id: "active",
    header: "Running",
    width: "136px",
    isWideOnly: true,
    cell: ({ queue, stats }) => <Meter used={stats?.active} limit={queue.concurrency} />,
  },
  {
    id: "failed",
    header: "Dead",
    width: "76px",
    align: "right",
    isWideOnly: true,
    cell: ({ stats }) => <CountText of={stats?.failed} tone="amber" />,
  },
];

export function Queues() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const [isMaking, setMaking] = useState(false);
  const list = useListing(keys.queues(), (signal) => rotor.queues.list({ limit: 500, signal }));
  const stats = useQueueStats("callback");
  const rows = useMemo(
    () =>
      list.rows
        .filter(({ name }) => name.toLowerCase().includes(q.toLowerCase()))
        .map((queue) => ({ queue, stats: stats.get(queue.name) })),
    [list.rows, stats, q],
  );
  const make = mayWrite && (
    <Button kind="primary" icon={<Plus />} onClick={() => setMaking(true)}>
      New queue
    </Button>
  );
  return (
    <Page title="Queues" actions={make}>
      <Filters onClear={q === "" ? undefined : () => void navigate({ search: {}, replace: true })}>
        <TextFilter
          isSearch
          label="Name of the queue"
          placeholder="Name"
          value={q}
          onChange={(next) => void navigate({ search: next === undefined ? {} : { q: next }, replace: true })}
        />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Queues"
          columns={columns}
          rows={rows}
          rowKey={({ queue }) => queue.name}
          rowLink={({ queue }) => ({ to: "/queues/$queue", params: { queue: queue.name } })}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            q !== "" ? (
              <EmptyState title="No queue has this in its name">Take the filter away to see all.</EmptyState>
            ) : (
              <EmptyState
                title="No queue yet"
                code="rotor queues create emails --callback-url http://127.0.0.1:3000/emails"
              >
                A queue says where its jobs are POSTed, how many at a time, and what a failure means.
              </EmptyState>
            )
          }
        />
      )}
      <NewQueue isOpen={isMaking} onClose={() => setMaking(false)} />
    </Page>
  );
}

function NewQueue({ isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void }) {
  const navigate = useNavigate();
  return (
    <FormDialog
      title="New queue"
      verb="Make it"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const name = written(form, "name")!;
        await rotor.queues.create(name, {
          callbackUrl: written(form, "url") ?? null,
          concurrency: Number(written(form, "concurrency") ?? 10),
        });
        await navigate({ to: "/queues/$queue", params: { queue: name } });
      }}
    >
      <Field label="Name">
        <input name="name" required maxLength={128} spellCheck={false} placeholder="emails" />
      </Field>
      <Field label="Callback URL" hint="Where its jobs are POSTed. Without one they wait.">
        <input name="url" type="url" placeholder="https://app.example.com/emails" />
      </Field>
      <Field label="Deliveries at a time">
        <input name="concurrency" type="number" min={1} defaultValue={10} />
      </Field>
    </FormDialog>
  );
}
