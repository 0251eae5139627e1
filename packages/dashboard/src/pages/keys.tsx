/** API keys: who may call, what, and until when. */
import type { ApiKey } from "@rotorsh/sdk";
import { Ban, Ellipsis, Plus, RotateCw } from "lucide-react";
import { useMemo, useState } from "react";
import { useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys as names } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { type Scope, useMay, useSession } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { ConfirmDialog, Field } from "../ui/dialog.js";
import dialogStyles from "../ui/dialog.module.css";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice, Notice } from "../ui/error-notice.js";
import { FormDialog, OnceDialog, written } from "../ui/form-dialog.js";
import { Menu } from "../ui/menu.js";
import { Page } from "../ui/page.js";
import { Badge } from "../ui/state-badge.js";
import { TimeText } from "../ui/time-text.js";

const SCOPES: readonly (readonly [scope: Scope, what: string])[] = [
  ["read", "see everything, change nothing"],
  ["write", "enqueue, send events, change queues, schedules, runs"],
  ["approve", "decide on jobs that ask for it"],
  ["admin", "all of this, and keys, secrets, the audit"],
  ["workspaces", "make and delete workspaces, read all metrics"],
];

const hasEnded = ({ revokedAt, expiresAt }: ApiKey): boolean =>
  revokedAt !== null || (expiresAt !== null && Date.parse(expiresAt) <= Date.now());

const columns: readonly Column<ApiKey>[] = [
  { id: "name", header: "Key", width: "minmax(0, 0.7fr)", cell: (key) => key.name },
  {
    id: "state",
    header: "State",
    width: "104px",
    cell: (key) =>
      key.revokedAt !== null ? (
        <Badge tone="grey">revoked</Badge>
      ) : hasEnded(key) ? (
        <Badge tone="grey">expired</Badge>
      ) : (
        <Badge tone="green">good</Badge>
      ),
  },
  {
    id: "scopes",
    header: "May",
    isWideOnly: true,
    cell: (key) => <span className="muted">{key.scopes.join(", ")}</span>,
  },
  {
    id: "expires",
    header: "Expires",
    width: "96px",
    align: "right",
    isWideOnly: true,
    cell: (key) => (key.expiresAt === null ? <span className="faint">never</span> : <TimeText at={key.expiresAt} />),
  },
  { id: "made", header: "Made", width: "88px", align: "right", cell: (key) => <TimeText at={key.createdAt} /> },
];

type Asked = { readonly key: ApiKey; readonly verb: "rotate" | "revoke" };

export function Keys() {
  const mayAdmin = useMay("admin");
  if (!mayAdmin)
    return (
      <Page title="Keys">
        <Notice tone="blue">Keys are seen and made by keys with the scope admin.</Notice>
      </Page>
    );
  return <Inner />;
}

function Inner() {
  const touch = useTouch();
  const [isMaking, setMaking] = useState(false);
  const [asked, setAsked] = useState<Asked>();
  const [made, setMade] = useState<string>();
  const list = useListing(names.apiKeys(), (signal) => rotor.keys.list({ signal }));
  const rows = useMemo(
    () =>
      list.rows.toSorted((a, b) => Number(hasEnded(a)) - Number(hasEnded(b)) || b.createdAt.localeCompare(a.createdAt)),
    [list.rows],
  );
  const shown = useMemo(
    () => [
      ...columns,
      {
        id: "do",
        header: "Actions",
        width: "60px",
        align: "right" as const,
        cell: (key: ApiKey) =>
          !hasEnded(key) && (
            <Menu
              kind="quiet"
              label={`More for ${key.name}`}
              icon={<Ellipsis />}
              entries={[
                { label: "Rotate", icon: <RotateCw />, onSelect: () => setAsked({ key, verb: "rotate" }) },
                {
                  label: "Revoke",
                  icon: <Ban />,
                  onSelect: () => setAsked({ key, verb: "revoke" }),
                  isDangerous: true,
                },
              ]}
            />
          ),
      },
    ],
    [],
  );
  const isRotating = asked?.verb === "rotate";
  return (
    <Page
      title="Keys"
      actions={
        <Button kind="primary" icon={<Plus />} onClick={() => setMaking(true)}>
          New key
        </Button>
      }
    >
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Keys"
          columns={shown}
          rows={rows}
          rowKey={(key) => key.id}
          isLoading={list.isLoading}
          empty={
            <EmptyState title="No key yet" code="rotor keys create ci --scopes read,write">
              Programs, and people on this page, call with a key. On this machine <code>rotor dev</code> needs none.
            </EmptyState>
          }
        />
      )}
      <NewKey
        isOpen={isMaking}
        onClose={() => setMaking(false)}
        onMade={async (key) => {
          setMade(key);
          await touch("api-keys");
        }}
      />
      <ConfirmDialog
        title={isRotating ? `Rotate ${asked?.key.name}?` : `Revoke ${asked?.key.name}?`}
        isOpen={asked !== undefined}
        onClose={() => setAsked(undefined)}
        verb={isRotating ? "Make the new one" : "Revoke it"}
        isDangerous={!isRotating}
        onConfirm={async () => {
          const { key, verb } = asked!;
          if (verb === "rotate") setMade((await rotor.keys.rotate(key.id)).key);
          else await rotor.keys.revoke(key.id);
          await touch("api-keys");
        }}
      >
        <p>
          {isRotating
            ? "A new key takes its place, with its name and scopes. The old one works for a day more."
            : "Whoever calls with it is refused within five seconds, and whoever logged in with it is logged out. This cannot be undone."}
        </p>
      </ConfirmDialog>
      <OnceDialog title="The new key" secret={made} onClose={() => setMade(undefined)}>
        Programs send it as <code>Authorization: Bearer …</code>; people log in with it.
      </OnceDialog>
    </Page>
  );
}

type NewProps = {
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly onMade: (key: string) => Promise<void>;
};

function NewKey({ isOpen, onClose, onMade }: NewProps) {
  const { scopes: own } = useSession();
  return (
    <FormDialog
      title="New key"
      verb="Make it"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const expiresIn = written(form, "expires");
        const scopes = form.getAll("scopes").map(String) as Scope[];
        if (scopes.length === 0) throw new Error("Choose what it may.");
        const { key } = await rotor.keys.create({
          name: written(form, "name")!,
          scopes,
          ...(expiresIn === undefined ? {} : { expiresIn: expiresIn as "1d" }),
        });
        await onMade(key);
      }}
    >
      <Field label="Name" hint="Whose, or what for: the audit tells it.">
        <input name="name" required maxLength={128} placeholder="ci" />
      </Field>
      <fieldset className={dialogStyles.checks}>
        <legend>It may</legend>
        {SCOPES.filter(([scope]) => own.includes(scope)).map(([scope, what]) => (
          <label key={scope}>
            <input type="checkbox" name="scopes" value={scope} defaultChecked={scope === "read" || scope === "write"} />
            <span>
              {scope} <small>– {what}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <Field label="Works for" hint="Such as 30d. Empty: until it is revoked.">
        <input name="expires" />
      </Field>
    </FormDialog>
  );
}
