/** Who changed what, the newest first. */
import type { AuditEvent } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { buttonClass } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice, Notice } from "../ui/error-notice.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { Page } from "../ui/page.js";
import { TimeFilter } from "../ui/time-filter.js";
import { TimeText } from "../ui/time-text.js";

const route = getRouteApi("/shell/audit");

/** `key:<id> <name>` is shown by its name. */
const actorText = (actor: string): string => /^key:\S+ (.+)$/.exec(actor)?.[1] ?? actor;

const columns: readonly Column<AuditEvent>[] = [
  { id: "action", header: "What", width: "minmax(0, 0.6fr)", cell: (event) => <code>{event.action}</code> },
  { id: "subject", header: "Of", cell: (event) => event.subject || <span className="faint">–</span> },
  {
    id: "fields",
    header: "What was given",
    isWideOnly: true,
    cell: (event) => <span className="muted">{event.details.fields?.join(", ")}</span>,
  },
  {
    id: "actor",
    header: "By",
    width: "minmax(0, 0.5fr)",
    isWideOnly: true,
    cell: (event) => <span title={event.actor}>{actorText(event.actor)}</span>,
  },
  { id: "at", header: "When", width: "88px", align: "right", cell: (event) => <TimeText at={event.at} /> },
];

export function Audit() {
  const mayAdmin = useMay("admin");
  if (!mayAdmin)
    return (
      <Page title="Audit">
        <Notice tone="blue">The audit is seen by keys with the scope admin.</Notice>
      </Page>
    );
  return <Inner />;
}

function Inner() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  const { action, subject, after, before } = search;
  const list = useListing(keys.audit(search), (signal) =>
    rotor.audit.list({
      action,
      subject,
      ...(after === undefined ? {} : { after: new Date(after) }),
      ...(before === undefined ? {} : { before: new Date(before) }),
      limit: 100,
      signal,
    }),
  );
  const isFiltered = Object.keys(search).length > 0;
  const csv = `/v1/audit?${new URLSearchParams({ ...search, format: "csv", limit: "1000" })}`;
  return (
    <Page
      title="Audit"
      actions={
        <a href={csv} download="audit.csv" className={buttonClass("plain")}>
          <Download aria-hidden="true" />
          CSV, the newest 1,000
        </a>
      }
    >
      <Filters onClear={isFiltered ? () => void navigate({ search: {}, replace: true }) : undefined}>
        <TextFilter
          isSearch
          label="Action"
          placeholder="queue.update"
          value={action}
          onChange={(next) => set({ action: next })}
        />
        <TextFilter label="Name or id" value={subject} onChange={(next) => set({ subject: next })} />
        <TimeFilter after={after} before={before} onChange={set} />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Audit"
          columns={columns}
          rows={list.rows}
          rowKey={(event) => event.id}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            isFiltered ? (
              <EmptyState title="Nothing is like this">Take a filter away to see more.</EmptyState>
            ) : (
              <EmptyState title="Nothing was changed yet">
                Whatever changes queues, keys, secrets and the like, and each decision, stands here with its maker.
              </EmptyState>
            )
          }
        />
      )}
    </Page>
  );
}
