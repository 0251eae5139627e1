/** One job: why it stands where it does, every attempt, and what can be done about it. */
import type { Job } from "@rotorsh/sdk";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Ban, Code, Copy, EllipsisVertical, FastForward, Undo2 } from "lucide-react";
import { useState } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { POLL_MS } from "../api/live.js";
import { useMay, useSession } from "../api/session.js";
import { Button } from "../ui/button.js";
import { CopyButton, copy } from "../ui/copy.js";
import { Deliveries } from "../ui/deliveries.js";
import { ConfirmDialog } from "../ui/dialog.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { JsonView } from "../ui/json-view.js";
import { RunLink } from "../ui/links.js";
import { Menu } from "../ui/menu.js";
import { Fact, Facts, Page, Section } from "../ui/page.js";
import { StateBadge } from "../ui/state-badge.js";
import { Tags } from "../ui/tags.js";
import { TimeText } from "../ui/time-text.js";
import { tell, tellError } from "../ui/toasts.js";
import { WhyNotice } from "../ui/why-notice.js";
import { asCurl, asSdkCall } from "./job/as-code.js";
import styles from "./run/run.module.css";

const route = getRouteApi("/shell/jobs/$jobId");
const crumbs = [{ label: "Jobs", link: { to: "/jobs" } }] as const;

export function JobPage() {
  const { jobId } = route.useParams();
  const job = useQuery({
    queryKey: keys.job(jobId),
    queryFn: ({ signal }) => rotor.jobs.find(jobId, { signal }),
    refetchInterval: ({ state: { data } }) => (data?.finishedAt ? false : POLL_MS / 4),
  });
  if (job.error)
    return (
      <Page title="Job" crumbs={crumbs}>
        <ErrorNotice error={job.error} onRetry={() => void job.refetch()} />
      </Page>
    );
  if (job.data === undefined)
    return (
      <Page title="Job" crumbs={crumbs}>
        {null}
      </Page>
    );
  return <Loaded job={job.data} />;
}

function Loaded({ job }: { readonly job: Job }) {
  const deliveries = job.deliveries ?? [];
  const title = job.jobId ?? job.id;
  return (
    <Page
      title={`${job.queue} · ${title}`}
      crumbs={[...crumbs, { label: job.queue, link: { to: "/jobs", search: { queue: job.queue } } }]}
      heading={
        <div className={styles.heading}>
          <h1>{title}</h1>
          <StateBadge state={job.state} reason={job.reason} />
        </div>
      }
      actions={<JobActions job={job} />}
    >
      {job.state !== "completed" && job.state !== "cancelled" && <WhyNotice id={job.id} />}
      <JobFacts job={job} />
      <Section title={deliveries.length === 0 ? "No attempt has ended yet" : "Attempts"}>
        {deliveries.length > 0 && <Deliveries deliveries={deliveries} maxAttempts={job.maxAttempts} />}
      </Section>
      <div className={styles.halves}>
        <Section title={job.payloadEncoding === "base64" ? `Payload, ${job.contentType}, as base64` : "Payload"}>
          <JsonView label="Payload" value={job.payload} />
        </Section>
        {job.output !== undefined && (
          <Section title="Output">
            <JsonView label="Output" value={job.output} />
          </Section>
        )}
      </div>
    </Page>
  );
}

function JobFacts({ job }: { readonly job: Job }) {
  return (
    <Facts>
      <Fact name="Id">
        {
          <span className="row">
            <code className="cut">{job.id}</code>
            <CopyButton text={job.id} label="Copy the job's id" />
          </span>
        }
      </Fact>
      <Fact name="Attempt">{<span className="number">{`${job.attempt} of ${job.maxAttempts}`}</span>}</Fact>
      <Fact name="Enqueued">{<TimeText at={job.createdAt} as="full" />}</Fact>
      <Fact name="To start at">{job.runAt === job.createdAt ? undefined : <TimeText at={job.runAt} as="full" />}</Fact>
      <Fact name="Ended">{job.finishedAt === null ? undefined : <TimeText at={job.finishedAt} as="full" />}</Fact>
      <Fact name="Concurrency key">{job.concurrencyKey === null ? undefined : <code>{job.concurrencyKey}</code>}</Fact>
      <Fact name="Enqueued by">{job.parentId === null ? undefined : <RunLink id={job.parentId} />}</Fact>
      <Fact name="Tags">{job.tags.length === 0 ? undefined : <Tags tags={job.tags} />}</Fact>
    </Facts>
  );
}

type Asking = "cancel" | "retry" | "approve" | "reject";

function JobActions({ job }: { readonly job: Job }) {
  const mayWrite = useMay("write");
  const mayApprove = useMay("approve");
  const { public_url: baseUrl } = useSession();
  const cache = useQueryClient();
  const [asking, setAsking] = useState<Asking>();
  const close = () => setAsking(undefined);
  const doing = async (what: () => Promise<unknown>, word: string): Promise<void> => {
    await what();
    tell(word);
    await Promise.all([
      cache.invalidateQueries({ queryKey: keys.job(job.id) }),
      cache.invalidateQueries({ queryKey: keys.why(job.id) }),
      cache.invalidateQueries({ queryKey: ["jobs"] }),
    ]);
  };
  const isLater = job.reason === "retrying" || job.reason === "delayed";
  return (
    <>
      {mayApprove && job.state === "pending_approval" && (
        <>
          <Button kind="primary" onClick={() => setAsking("approve")}>
            Approve
          </Button>
          <Button kind="danger" onClick={() => setAsking("reject")}>
            Reject
          </Button>
        </>
      )}
      {mayWrite && isLater && (
        <Button
          icon={<FastForward />}
          onClick={() =>
            void doing(() => rotor.jobs.update(job.queue, job.id, { delay: "0s" }), "The job is due now").catch(
              tellError,
            )
          }
        >
          {job.reason === "retrying" ? "Try again now" : "Start now"}
        </Button>
      )}
      {mayWrite && job.state === "failed" && (
        <Button kind="primary" icon={<Undo2 />} onClick={() => setAsking("retry")}>
          Retry
        </Button>
      )}
      {mayWrite && job.finishedAt === null && (
        <Button kind="danger" icon={<Ban />} onClick={() => setAsking("cancel")}>
          Cancel
        </Button>
      )}
      <Menu
        label="More"
        icon={<EllipsisVertical />}
        entries={[
          { label: "Copy as curl", icon: <Code />, onSelect: () => void copy(asCurl(job, baseUrl), "curl is copied") },
          {
            label: "Copy as SDK call",
            icon: <Code />,
            onSelect: () => void copy(asSdkCall(job), "The call is copied"),
          },
          {
            label: "Copy as JSON",
            icon: <Copy />,
            onSelect: () => void copy(JSON.stringify(job, null, 2), "The job is copied"),
          },
        ]}
      />
      <ConfirmDialog
        title="Cancel this job"
        isOpen={asking === "cancel"}
        onClose={close}
        verb="Cancel the job"
        isDangerous
        onConfirm={() => doing(() => rotor.jobs.cancel(job.queue, job.id), "The job is cancelled")}
      >
        <p>It ends now, for good. An endpoint that is at work on it is not told.</p>
      </ConfirmDialog>
      <ConfirmDialog
        title="Retry this job"
        isOpen={asking === "retry"}
        onClose={close}
        verb="Retry"
        onConfirm={() => doing(() => rotor.jobs.retry(job.queue, job.id), "The job waits again")}
      >
        <p>It is due at once, with all of its {job.maxAttempts} attempts.</p>
      </ConfirmDialog>
      <ConfirmDialog
        title="Approve this job"
        isOpen={asking === "approve"}
        onClose={close}
        verb="Approve"
        onConfirm={() => doing(() => rotor.approvals.approve(job.id), "The job may go")}
      >
        <p>It is delivered as soon as it is due.</p>
      </ConfirmDialog>
      <ConfirmDialog
        title="Reject this job"
        isOpen={asking === "reject"}
        onClose={close}
        verb="Reject"
        isDangerous
        onConfirm={() => doing(() => rotor.approvals.reject(job.id), "The job is rejected")}
      >
        <p>It fails, and is never delivered.</p>
      </ConfirmDialog>
    </>
  );
}
