/** One webhook: what it was told lately, whether that arrived, and again what did not. */
import type { Job, Webhook } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { Ellipsis, KeyRound, Pencil, RotateCw, Send, Trash2 } from "lucide-react";
import { useMemo, useState } from "react";
import { useAction, useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { ConfirmDialog, Field } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ChoiceFilter, Filters } from "../ui/filters.js";
import { FormDialog, OnceDialog, written } from "../ui/form-dialog.js";
import { Menu } from "../ui/menu.js";
import { Fact, Facts, Page, Section } from "../ui/page.js";
import { StateBadge } from "../ui/state-badge.js";
import { TimeText } from "../ui/time-text.js";
import { TypesField, typesOf } from "./webhooks/types.js";
import { typesText } from "./webhooks.js";

const route = getRouteApi("/shell/webhooks/$webhook");

type Asked = "edit" | "rotate" | "delete";

/** Its deliveries are kept under this word, beside those of jobs. */
const TOUCHES = ["webhook", "webhooks", "webhook-deliveries"];

export function WebhookPage() {
  const { webhook: name } = route.useParams();
  const {
    data: webhook,
    error,
    refetch,
  } = useQuery({
    queryKey: ["webhook", name],
    queryFn: ({ signal }) => rotor.webhooks.get(name, { signal }),
  });
  const mayWrite = useMay("write");
  const [asked, setAsked] = useState<Asked>();
  const [secret, setSecret] = useState<string>();
  const { act, isBusy } = useAction();
  const crumbs = [{ label: "Webhooks", link: { to: "/webhooks" } as const }];
  if (error)
    return (
      <Page title={name} crumbs={crumbs}>
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      </Page>
    );
  if (webhook === undefined) return <Page title={name} crumbs={crumbs} />;
  const close = () => setAsked(undefined);
  return (
    <Page
      title={name}
      crumbs={crumbs}
      actions={
        mayWrite && (
          <>
            <Button icon={<Pencil />} onClick={() => setAsked("edit")}>
              Change
            </Button>
            <Button
              icon={<Send />}
              isBusy={isBusy}
              onClick={() =>
                void act(() => rotor.webhooks.test(name), { done: "A test is on its way", touches: TOUCHES })
              }
            >
              Send a test
            </Button>
            <Menu
              label="More"
              icon={<Ellipsis />}
              entries={[
                { label: "Give it another secret", icon: <KeyRound />, onSelect: () => setAsked("rotate") },
                { label: "Delete", icon: <Trash2 />, onSelect: () => setAsked("delete"), isDangerous: true },
              ]}
            />
          </>
        )
      }
    >
      <Facts>
        <Fact name="URL">{webhook.url}</Fact>
        <Fact name="Is told of">{typesText(webhook.types)}</Fact>
        <Fact name="Headers">{Object.keys(webhook.headers).join(", ") || undefined}</Fact>
        <Fact name="Made">
          <TimeText at={webhook.createdAt} as="full" />
        </Fact>
      </Facts>
      <Deliveries name={name} />
      <EditDialog webhook={webhook} isOpen={asked === "edit"} onClose={close} />
      <ConfirmDialog
        title="Give it another secret?"
        isOpen={asked === "rotate"}
        onClose={close}
        verb="Make one"
        onConfirm={async () => setSecret((await rotor.webhooks.rotate(name)).secret)}
      >
        <p>For a day events are signed with the old one, too, so that none is refused.</p>
      </ConfirmDialog>
      <DeleteDialog name={name} isOpen={asked === "delete"} onClose={close} />
      <OnceDialog title="Its new secret" secret={secret} onClose={() => setSecret(undefined)}>
        With it the receiver verifies what it is sent.
      </OnceDialog>
    </Page>
  );
}

const typeOf = (job: Job): string => {
  const payload = job.payload as { type?: unknown } | null;
  return typeof payload?.type === "string" ? payload.type : "";
};

const columns: readonly Column<Job>[] = [
  { id: "state", header: "State", width: "130px", cell: (job) => <StateBadge state={job.state} reason={job.reason} /> },
  { id: "type", header: "Type", width: "minmax(0, 0.7fr)", cell: typeOf },
  {
    id: "error",
    header: "Last error",
    isWideOnly: true,
    cell: (job) => <span className="muted">{job.error?.message}</span>,
  },
  {
    id: "attempt",
    header: "Attempt",
    width: "90px",
    isWideOnly: true,
    cell: (job) => `${job.attempt} of ${job.maxAttempts}`,
  },
  { id: "created", header: "Told", width: "80px", align: "right", cell: (job) => <TimeText at={job.createdAt} /> },
];

function Deliveries({ name }: { readonly name: string }) {
  const { state } = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const { act } = useAction();
  const list = useListing(["webhook-deliveries", name, state], (signal) =>
    rotor.webhooks.deliveries(name, { state: state as Job["state"] | undefined, limit: 50, signal }),
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is called is the same at each time.
  const shown = useMemo(
    () =>
      mayWrite
        ? [
            ...columns,
            {
              id: "again",
              header: "Again",
              width: "52px",
              align: "right" as const,
              cell: (job: Job) =>
                job.state === "failed" && (
                  <Button
                    kind="quiet"
                    label={`Deliver this ${typeOf(job)} again`}
                    icon={<RotateCw />}
                    onClick={() =>
                      void act(() => rotor.dlq.replay({ ids: [job.id] }), {
                        done: "It is sent again",
                        touches: TOUCHES,
                      })
                    }
                  />
                ),
            },
          ]
        : columns,
    [mayWrite],
  );
  return (
    <Section title="What it was told">
      <Filters>
        <ChoiceFilter
          label="State"
          any="All states"
          value={state}
          onChange={(next) => void navigate({ search: next === undefined ? {} : { state: next }, replace: true })}
          choices={[
            { value: "completed", label: "arrived" },
            { value: "waiting", label: "waiting" },
            { value: "failed", label: "failed" },
          ]}
        />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Deliveries"
          columns={shown}
          rows={list.rows}
          rowKey={(job) => job.id}
          rowLink={(job) => ({ to: "/jobs/$jobId", params: { jobId: job.id } })}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            <EmptyState title={state === undefined ? "It was told nothing yet" : "Nothing is like this"}>
              “Send a test” sends it an event of the type webhook.test.
            </EmptyState>
          }
        />
      )}
    </Section>
  );
}

function EditDialog({ webhook, isOpen, onClose }: { webhook: Webhook; isOpen: boolean; onClose: () => void }) {
  const touch = useTouch();
  return (
    <FormDialog
      title={`Change ${webhook.name}`}
      verb="Save"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        await rotor.webhooks.update(webhook.name, { url: written(form, "url")!, types: typesOf(form) });
        await touch(...TOUCHES);
      }}
    >
      <Field label="URL">
        <input name="url" type="url" required defaultValue={webhook.url} />
      </Field>
      <TypesField types={webhook.types} />
    </FormDialog>
  );
}

function DeleteDialog({ name, isOpen, onClose }: { name: string; isOpen: boolean; onClose: () => void }) {
  const touch = useTouch();
  const navigate = useNavigate();
  return (
    <ConfirmDialog
      title={`Delete ${name}?`}
      isOpen={isOpen}
      onClose={onClose}
      verb="Delete it"
      isDangerous
      onConfirm={async () => {
        await rotor.webhooks.delete(name);
        await navigate({ to: "/webhooks" });
        await touch("webhooks");
      }}
    >
      <p>What was not delivered to it yet goes with it.</p>
    </ConfirmDialog>
  );
}
