/** Functions, and the apps that serve them. */
import type { App, FunctionView, QueueStats } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Plus, RefreshCw } from "lucide-react";
import { useMemo, useState } from "react";
import { useAction, useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { POLL_MS } from "../api/live.js";
import { useMay } from "../api/session.js";
import { useQueueStats } from "../api/stats.js";
import { Button } from "../ui/button.js";
import { CountText } from "../ui/count.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { Field } from "../ui/dialog.js";
import dialogStyles from "../ui/dialog.module.css";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { FormDialog, written } from "../ui/form-dialog.js";
import { Meter } from "../ui/meter.js";
import { Page, Section } from "../ui/page.js";
import { Badge } from "../ui/state-badge.js";
import { TimeText } from "../ui/time-text.js";
import { tell } from "../ui/toasts.js";
import { plural } from "../ui/words.js";
import { triggerText } from "./functions/triggers.js";
import { QueueState } from "./overview/standing.js";

const route = getRouteApi("/shell/functions");

const TOUCHES = ["functions", "function", "apps", "stats", "schedules"];

type Row = { readonly of: FunctionView; readonly stats: QueueStats | undefined };

const columns: readonly Column<Row>[] = [
  { id: "id", header: "Function", width: "minmax(0, 0.8fr)", cell: ({ of }) => of.id },
  {
    id: "state",
    header: "State",
    width: "126px",
    cell: ({ of, stats }) =>
      of.serveUrl === null ? <Badge tone="red">not served</Badge> : <QueueState queue={stats} />,
  },
  {
    id: "triggers",
    header: "Started by",
    isWideOnly: true,
    cell: ({ of }) => <span className="muted">{of.triggers.map(triggerText).join(", ") || "direct calls"}</span>,
  },
  {
    id: "app",
    header: "App",
    width: "minmax(0, 0.5fr)",
    isWideOnly: true,
    cell: ({ of }) => <span className="muted">{of.app}</span>,
  },
  { id: "due", header: "Due", width: "76px", align: "right", cell: ({ stats }) => <CountText of={stats?.due} /> },
  {
    id: "active",
    header: "Running",
    width: "136px",
    isWideOnly: true,
    cell: ({ of, stats }) => <Meter used={stats?.active} limit={of.concurrency} />,
  },
  {
    id: "failed",
    header: "Failed runs",
    width: "88px",
    align: "right",
    isWideOnly: true,
    cell: ({ stats }) => <CountText of={stats?.failed} tone="amber" />,
  },
];

export function Functions() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const mayAdmin = useMay("write");
  const [isSyncing, setSyncing] = useState(false);
  const list = useListing(keys.functions(), (signal) => rotor.functions.list({ limit: 500, signal }));
  const stats = useQueueStats("function");
  const rows = useMemo(
    () =>
      list.rows
        .filter(({ id, app }) => [id, app].some((text) => text?.toLowerCase().includes(q.toLowerCase())))
        .map((of) => ({ of, stats: stats.get(of.id) })),
    [list.rows, stats, q],
  );
  return (
    <Page
      title="Functions"
      actions={
        mayAdmin && (
          <Button kind="primary" icon={<Plus />} onClick={() => setSyncing(true)}>
            Add an app
          </Button>
        )
      }
    >
      <Apps />
      <Section title="Functions">
        <Filters onClear={q === "" ? undefined : () => void navigate({ search: {}, replace: true })}>
          <TextFilter
            isSearch
            label="Function or app"
            placeholder="Function or app"
            value={q}
            onChange={(next) => void navigate({ search: next === undefined ? {} : { q: next }, replace: true })}
          />
        </Filters>
        {list.error ? (
          <ErrorNotice error={list.error} onRetry={list.refetch} />
        ) : (
          <DataTable
            label="Functions"
            columns={columns}
            rows={rows}
            rowKey={({ of }) => of.id}
            rowLink={({ of }) => ({ to: "/functions/$functionId", params: { functionId: of.id } })}
            isLoading={list.isLoading}
            onEnd={list.onEnd}
            empty={
              q !== "" ? (
                <EmptyState title="No function is like this">Take the filter away to see all.</EmptyState>
              ) : (
                <EmptyState title="No function yet" code="rotor functions sync http://127.0.0.1:3000/api/rotor">
                  An app serves its functions with <code>serveWorkflow</code>; the server reads them from its address.
                </EmptyState>
              )
            }
          />
        )}
      </Section>
      <SyncDialog isOpen={isSyncing} onClose={() => setSyncing(false)} />
    </Page>
  );
}

const appColumns: readonly Column<App>[] = [
  { id: "name", header: "App", width: "minmax(0, 0.5fr)", cell: (app) => app.name },
  {
    id: "state",
    header: "State",
    width: "126px",
    cell: ({ unreachableSince }) =>
      unreachableSince === null ? <Badge tone="green">reached</Badge> : <Badge tone="red">unreachable</Badge>,
  },
  { id: "url", header: "Served at", cell: (app) => <span className="muted">{app.url}</span>, isWideOnly: true },
  {
    id: "away",
    header: "Away since",
    width: "96px",
    align: "right",
    isWideOnly: true,
    cell: (app) => <TimeText at={app.unreachableSince} />,
  },
  {
    id: "functions",
    header: "Functions",
    width: "80px",
    align: "right",
    cell: (app) => app.functions,
    isWideOnly: true,
  },
  { id: "synced", header: "Read", width: "80px", align: "right", cell: (app) => <TimeText at={app.syncedAt} /> },
];

function Apps() {
  const mayWrite = useMay("write");
  const { act } = useAction();
  const { data, error, refetch } = useQuery({
    queryKey: ["apps"],
    queryFn: async ({ signal }) => (await rotor.apps.list({ signal }).page()).data,
    refetchInterval: POLL_MS,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is called is the same at each time.
  const shown = useMemo(
    () =>
      mayWrite
        ? [
            ...appColumns,
            {
              id: "sync",
              header: "Actions",
              width: "60px",
              align: "right" as const,
              cell: ({ name, url }: App) =>
                url.startsWith("inproc:") ? null : (
                  <Button
                    kind="quiet"
                    label={`Read the functions of ${name} again`}
                    icon={<RefreshCw />}
                    onClick={() =>
                      void act(() => rotor.functions.sync({ url }), {
                        done: `${name} was read again`,
                        touches: TOUCHES,
                      })
                    }
                  />
                ),
            },
          ]
        : appColumns,
    [mayWrite],
  );
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (data === undefined || data.length === 0) return null;
  return (
    <Section title="Apps">
      <DataTable label="Apps" columns={shown} rows={data} rowKey={(app) => app.name} empty={null} />
    </Section>
  );
}

function SyncDialog({ isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void }) {
  const touch = useTouch();
  return (
    <FormDialog
      title="Add an app"
      verb="Read its functions"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const synced = await rotor.functions.sync({ url: written(form, "url")!, move: form.get("move") === "on" });
        tell(`${synced.app} serves ${plural(synced.functions.length, "function")}`);
        await touch(...TOUCHES);
      }}
    >
      <Field label="Address" hint="Where the app serves its functions, as this server reaches it.">
        <input name="url" type="url" required placeholder="http://127.0.0.1:3000/api/rotor" />
      </Field>
      <fieldset className={dialogStyles.checks}>
        <label>
          <input type="checkbox" name="move" />
          <span>
            It has moved here <small>– from another address, with its functions</small>
          </span>
        </label>
      </fieldset>
    </FormDialog>
  );
}
