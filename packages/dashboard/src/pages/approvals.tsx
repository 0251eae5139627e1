/** Jobs that wait for a person's yes, and those that were decided. */
import type { Approval } from "@rotorsh/sdk";
import { getRouteApi } from "@tanstack/react-router";
import { Check, X } from "lucide-react";
import { useState } from "react";
import { useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { Field } from "../ui/dialog.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ChoiceFilter, Filters } from "../ui/filters.js";
import { FormDialog, written } from "../ui/form-dialog.js";
import { JsonView } from "../ui/json-view.js";
import { JobLink } from "../ui/links.js";
import { Page } from "../ui/page.js";
import { Badge, type Tone } from "../ui/state-badge.js";
import { Tags } from "../ui/tags.js";
import { TimeText } from "../ui/time-text.js";
import styles from "./approvals/approvals.module.css";

const route = getRouteApi("/shell/approvals");

const TONES: Readonly<Record<Approval["status"], Tone>> = {
  pending: "violet",
  approved: "green",
  rejected: "red",
  expired: "grey",
};

type Asked = { readonly approval: Approval; readonly verb: "approve" | "reject" };

export function Approvals() {
  const { status = "pending" } = route.useSearch();
  const navigate = route.useNavigate();
  const [asked, setAsked] = useState<Asked>();
  const list = useListing(keys.approvals({ status }), (signal) => rotor.approvals.list({ status, limit: 50, signal }));
  return (
    <Page title="Approvals">
      <Filters>
        <ChoiceFilter
          label="Status"
          any="Waiting for a decision"
          value={status === "pending" ? undefined : status}
          onChange={(next) =>
            void navigate({ search: next === undefined ? {} : { status: next as Approval["status"] }, replace: true })
          }
          choices={[
            { value: "approved", label: "Approved" },
            { value: "rejected", label: "Rejected" },
            { value: "expired", label: "Not decided in time" },
          ]}
        />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : list.rows.length === 0 && !list.isLoading ? (
        <Nothing status={status} />
      ) : (
        <ul className={styles.list} aria-label="Approvals">
          {list.rows.map((approval) => (
            <Card key={approval.id} approval={approval} onAsk={(verb) => setAsked({ approval, verb })} />
          ))}
        </ul>
      )}
      {list.onEnd && (
        <div>
          <Button isBusy={list.isLoading} onClick={list.onEnd}>
            More
          </Button>
        </div>
      )}
      <Decision asked={asked} onClose={() => setAsked(undefined)} />
    </Page>
  );
}

function Card({ approval, onAsk }: { readonly approval: Approval; readonly onAsk: (verb: Asked["verb"]) => void }) {
  const mayApprove = useMay("approve");
  const { status, queue, reason, payload, payloadEncoding, expiresAt, createdAt, tags, jobId } = approval;
  return (
    <li className={styles.card}>
      <div className={styles.head}>
        <div className="row wrap">
          <Badge tone={TONES[status]}>{status === "pending" ? "needs approval" : status}</Badge>
          <strong className="cut">{queue}</strong>
          <JobLink id={jobId} />
          <Tags tags={tags} />
        </div>
        {status === "pending" && mayApprove && (
          <div className="row">
            <Button icon={<X />} onClick={() => onAsk("reject")}>
              Reject
            </Button>
            <Button kind="primary" icon={<Check />} onClick={() => onAsk("approve")}>
              Approve
            </Button>
          </div>
        )}
      </div>
      <p className="muted">
        Asked <TimeText at={createdAt} />
        {expiresAt !== null && (
          <>
            , decided at the latest <TimeText at={expiresAt} />
          </>
        )}
        {reason !== null && <>. Reason given: {reason}</>}
      </p>
      <JsonView label={payloadEncoding === "json" ? "payload" : "payload, as base64"} value={payload} />
    </li>
  );
}

function Nothing({ status }: { readonly status: Approval["status"] }) {
  if (status !== "pending")
    return <EmptyState title={`Nothing was ${status === "expired" ? "left undecided" : status}`} />;
  return (
    <EmptyState title="Nothing waits for a decision" code="rotor queues update payouts --approval-required">
      Jobs of a queue that asks for approval wait here until somebody with the scope <code>approve</code> says yes or
      no.
    </EmptyState>
  );
}

function Decision({ asked, onClose }: { readonly asked: Asked | undefined; readonly onClose: () => void }) {
  const touch = useTouch();
  const isYes = asked?.verb === "approve";
  return (
    <FormDialog
      title={isYes ? "Let this job go?" : "Turn this job down?"}
      verb={isYes ? "Approve" : "Reject"}
      isOpen={asked !== undefined}
      onClose={onClose}
      onSubmit={async (form) => {
        const reason = written(form, "reason");
        const { approval, verb } = asked!;
        await rotor.approvals[verb](approval.id, reason === undefined ? {} : { reason });
        await touch("approvals", "stats", "jobs", "job");
      }}
    >
      <p>
        {isYes
          ? "It is delivered as soon as its time has come."
          : "It fails, and becomes a dead letter that no bulk retry takes."}
      </p>
      <Field label="Reason" hint="Kept with the job.">
        <input name="reason" maxLength={500} />
      </Field>
    </FormDialog>
  );
}
