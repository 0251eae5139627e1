/** Secrets: set, replaced, deleted; never shown. */
import type { StoredSecret } from "@rotorsh/sdk";
import { Pencil, Plus, Trash2 } from "lucide-react";
import { useMemo, useState } from "react";
import { useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { ConfirmDialog, Field } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice, Notice } from "../ui/error-notice.js";
import { FormDialog, written } from "../ui/form-dialog.js";
import { Page } from "../ui/page.js";
import { TimeText } from "../ui/time-text.js";

const columns: readonly Column<StoredSecret>[] = [
  { id: "name", header: "Secret", cell: (secret) => <code>{secret.name}</code> },
  {
    id: "use",
    header: "Written in a queue as",
    isWideOnly: true,
    cell: (secret) => <code className="muted">{`\${{ secrets.${secret.name} }}`}</code>,
  },
  { id: "set", header: "Set", width: "96px", align: "right", cell: (secret) => <TimeText at={secret.updatedAt} /> },
];

export function Secrets() {
  const mayAdmin = useMay("admin");
  if (!mayAdmin)
    return (
      <Page title="Secrets">
        <Notice tone="blue">Secrets are seen and set by keys with the scope admin.</Notice>
      </Page>
    );
  return <Inner />;
}

function Inner() {
  const touch = useTouch();
  /** The name that is set; empty: a new one. */
  const [setting, setSetting] = useState<string>();
  const [doomed, setDoomed] = useState<string>();
  const list = useListing(["secrets"], (signal) => rotor.secrets.list({ signal }));
  const shown = useMemo(
    () => [
      ...columns,
      {
        id: "do",
        header: "Actions",
        width: "80px",
        align: "right" as const,
        cell: ({ name }: StoredSecret) => (
          <span className="row">
            <Button kind="quiet" label={`Replace ${name}`} icon={<Pencil />} onClick={() => setSetting(name)} />
            <Button kind="quiet" label={`Delete ${name}`} icon={<Trash2 />} onClick={() => setDoomed(name)} />
          </span>
        ),
      },
    ],
    [],
  );
  return (
    <Page
      title="Secrets"
      actions={
        <Button kind="primary" icon={<Plus />} onClick={() => setSetting("")}>
          New secret
        </Button>
      }
    >
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Secrets"
          columns={shown}
          rows={list.rows}
          rowKey={(secret) => secret.name}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            <EmptyState title="No secret yet" code="rotor secrets set CRM_TOKEN">
              A queue's URL and headers may use a secret by its name. Its value is sealed, and never shown again.
            </EmptyState>
          }
        />
      )}
      <FormDialog
        title={setting === "" ? "New secret" : `Replace ${setting}`}
        verb="Set it"
        isOpen={setting !== undefined}
        onClose={() => setSetting(undefined)}
        onSubmit={async (form) => {
          await rotor.secrets.set(setting === "" ? written(form, "name")! : setting!, String(form.get("value")));
          await touch("secrets");
        }}
      >
        {setting === "" && (
          <Field label="Name" hint="Letters, digits and underscores.">
            <input name="name" required maxLength={64} pattern="[A-Za-z_][A-Za-z0-9_]*" spellCheck={false} />
          </Field>
        )}
        <Field label="Value" hint="At least 8 characters. Deliveries use it from then on.">
          <input name="value" type="password" required minLength={8} autoComplete="off" spellCheck={false} />
        </Field>
      </FormDialog>
      <ConfirmDialog
        title={`Delete ${doomed}?`}
        isOpen={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        verb="Delete it"
        isDangerous
        onConfirm={async () => {
          await rotor.secrets.delete(doomed!);
          await touch("secrets");
        }}
      >
        <p>Deliveries of queues that use it fail from then on.</p>
      </ConfirmDialog>
    </Page>
  );
}
