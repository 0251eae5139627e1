/** Webhooks: who is told of what happens here. */
import type { LifecycleType, Webhook } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useState } from "react";
import { useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { Field } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { FormDialog, OnceDialog, written } from "../ui/form-dialog.js";
import { Page } from "../ui/page.js";
import { TimeText } from "../ui/time-text.js";
import { TypesField, typesOf } from "./webhooks/types.js";

const route = getRouteApi("/shell/webhooks");

export const typesText = (types: Webhook["types"]): string => (types.includes("*") ? "everything" : types.join(", "));

const columns: readonly Column<Webhook>[] = [
  { id: "name", header: "Webhook", width: "minmax(0, 0.6fr)", cell: (webhook) => webhook.name },
  { id: "url", header: "URL", cell: (webhook) => <span className="muted">{webhook.url}</span> },
  {
    id: "types",
    header: "Is told of",
    isWideOnly: true,
    cell: (webhook) => <span className="muted">{typesText(webhook.types)}</span>,
  },
  {
    id: "made",
    header: "Made",
    width: "88px",
    align: "right",
    isWideOnly: true,
    cell: (webhook) => <TimeText at={webhook.createdAt} />,
  },
];

export function Webhooks() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const touch = useTouch();
  const [isMaking, setMaking] = useState(false);
  const [secret, setSecret] = useState<string>();
  const list = useListing(keys.webhooks(), (signal) => rotor.webhooks.list({ limit: 100, signal }));
  const rows = list.rows.filter(({ name, url }) => `${name} ${url}`.toLowerCase().includes(q.toLowerCase()));
  return (
    <Page
      title="Webhooks"
      actions={
        mayWrite && (
          <Button kind="primary" icon={<Plus />} onClick={() => setMaking(true)}>
            New webhook
          </Button>
        )
      }
    >
      <Filters onClear={q === "" ? undefined : () => void navigate({ search: {}, replace: true })}>
        <TextFilter
          isSearch
          label="Name or URL"
          value={q}
          onChange={(next) => void navigate({ search: next === undefined ? {} : { q: next }, replace: true })}
        />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Webhooks"
          columns={columns}
          rows={rows}
          rowKey={(webhook) => webhook.name}
          rowLink={(webhook) => ({ to: "/webhooks/$webhook", params: { webhook: webhook.name } })}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            q !== "" ? (
              <EmptyState title="No webhook is like this">Take the filter away to see all.</EmptyState>
            ) : (
              <EmptyState
                title="No webhook yet"
                code="rotor webhooks create alerts --url https://example.com/rotor-events --types run.failed,queue.late"
              >
                A webhook is told of what happens: jobs and runs that end, queues that are late, apps that are away.
              </EmptyState>
            )
          }
        />
      )}
      <FormDialog
        title="New webhook"
        verb="Make it"
        isOpen={isMaking}
        onClose={() => setMaking(false)}
        onSubmit={async (form) => {
          const made = await rotor.webhooks.create(written(form, "name")!, {
            url: written(form, "url")!,
            types: typesOf(form) as LifecycleType[],
          });
          setSecret(made.secret);
          await touch("webhooks");
        }}
      >
        <Field label="Name">
          <input name="name" required maxLength={128} spellCheck={false} placeholder="alerts" />
        </Field>
        <Field label="URL" hint="Where events are POSTed.">
          <input name="url" type="url" required placeholder="https://example.com/rotor-events" />
        </Field>
        <TypesField />
      </FormDialog>
      <OnceDialog title="Its secret" secret={secret} onClose={() => setSecret(undefined)}>
        With it the receiver verifies what it is sent.
      </OnceDialog>
    </Page>
  );
}
