/** Events, the newest first; and one sent by hand. */
import type { Event } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { Send } from "lucide-react";
import { useState } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { Page } from "../ui/page.js";
import { Badge } from "../ui/state-badge.js";
import { Tags } from "../ui/tags.js";
import { TimeFilter } from "../ui/time-filter.js";
import { TimeText } from "../ui/time-text.js";
import { shortId } from "../ui/words.js";
import { SendDialog } from "./events/send.js";

const route = getRouteApi("/shell/events");

const columns: readonly Column<Event>[] = [
  { id: "name", header: "Event", width: "minmax(0, 0.7fr)", cell: (event) => event.name },
  {
    id: "data",
    header: "Data",
    isWideOnly: true,
    cell: (event) => (
      <code className="muted">{"omitted" in event ? "large" : JSON.stringify(event.data).slice(0, 160)}</code>
    ),
  },
  {
    id: "tags",
    header: "Tags",
    width: "minmax(0, 0.4fr)",
    isWideOnly: true,
    cell: (event) => <Tags tags={event.tags} />,
  },
  {
    id: "id",
    header: "Id",
    width: "120px",
    isWideOnly: true,
    cell: (event) => <code className="faint">{shortId(event.id)}</code>,
  },
  {
    id: "received",
    header: "Received",
    width: "104px",
    align: "right",
    cell: (event) =>
      event.receivedAt === null ? <Badge tone="violet">to come</Badge> : <TimeText at={event.receivedAt} />,
  },
];

export function Events() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const [isSending, setSending] = useState(false);
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  const list = useListing(keys.events(search), (signal) => rotor.events.list({ ...search, limit: 100, signal }));
  const isFiltered = Object.keys(search).length > 0;
  return (
    <Page
      title="Events"
      actions={
        mayWrite && (
          <Button kind="primary" icon={<Send />} onClick={() => setSending(true)}>
            Send an event
          </Button>
        )
      }
    >
      <Filters onClear={isFiltered ? () => void navigate({ search: {}, replace: true }) : undefined}>
        <TextFilter
          isSearch
          label="Name of the event"
          placeholder="Event name"
          value={search.name}
          onChange={(name) => set({ name })}
        />
        <TextFilter label="Tag" value={search.tag} onChange={(tag) => set({ tag })} />
        <TimeFilter after={search.after} before={search.before} onChange={set} />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Events"
          columns={columns}
          rows={list.rows}
          rowKey={(event) => event.id}
          rowLink={(event) => ({ to: "/events/$eventId", params: { eventId: event.id } })}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            isFiltered ? (
              <EmptyState title="No event is like this">Take a filter away to see more.</EmptyState>
            ) : (
              <EmptyState title="No event yet" code={'rotor send contact.created \'{"contactId": "c-1"}\''}>
                An event starts the functions that listen for its name, and ends the waits that it meets.
              </EmptyState>
            )
          }
        />
      )}
      <SendDialog isOpen={isSending} onClose={() => setSending(false)} name={search.name} />
    </Page>
  );
}
