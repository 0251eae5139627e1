/** One event: what it said, and what it started, resumed and cancelled. */
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Send } from "lucide-react";
import { useState } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { POLL_MS } from "../api/live.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { CopyButton } from "../ui/copy.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { JsonView } from "../ui/json-view.js";
import { Fact, Facts, Page, Section } from "../ui/page.js";
import { Badge, StateBadge } from "../ui/state-badge.js";
import { Tags } from "../ui/tags.js";
import { TimeText } from "../ui/time-text.js";
import { plural, shortId } from "../ui/words.js";
import styles from "./events/event.module.css";
import { SendDialog } from "./events/send.js";

const route = getRouteApi("/shell/events/$eventId");

export function EventPage() {
  const { eventId: id } = route.useParams();
  const {
    data: event,
    error,
    refetch,
  } = useQuery({
    queryKey: keys.event(id),
    queryFn: ({ signal }) => rotor.events.get(id, { signal }),
    refetchInterval: POLL_MS,
  });
  const mayWrite = useMay("write");
  const [isSending, setSending] = useState(false);
  const crumbs = [{ label: "Events", link: { to: "/events" } as const }];
  if (error)
    return (
      <Page title="Event" crumbs={crumbs}>
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      </Page>
    );
  if (event === undefined) return <Page title="Event" crumbs={crumbs} />;
  const { started = [], resumed = [], cancelled = [] } = event;
  return (
    <Page
      title={event.name}
      crumbs={crumbs}
      heading={
        <div className="row wrap">
          <h1 className="cut">{event.name}</h1>
          {event.receivedAt === null && <Badge tone="violet">to come</Badge>}
        </div>
      }
      actions={
        mayWrite && (
          <Button icon={<Send />} onClick={() => setSending(true)}>
            Send one like it
          </Button>
        )
      }
    >
      <Facts>
        <Fact name="Id">
          <span className="row">
            <code className="cut">{event.id}</code>
            <CopyButton text={event.id} label="Copy the id" />
          </span>
        </Fact>
        <Fact name={event.receivedAt === null ? "Is published" : "Received"}>
          <TimeText at={event.receivedAt ?? event.dueAt} as="full" />
        </Fact>
        <Fact name="Sender's time">
          <TimeText at={new Date(event.ts).toISOString()} as="full" />
        </Fact>
        <Fact name="Tags">{event.tags.length > 0 && <Tags tags={event.tags} />}</Fact>
      </Facts>
      <Section title="Data">
        <JsonView label="data of the event" value={event.data} />
      </Section>
      <Runs
        title="Started"
        ids={started}
        none="It started no run: no function listens for this name, or none of their conditions held."
      />
      <Runs title="Resumed" ids={resumed} none="No run waited for it." />
      {cancelled.length > 0 && <Runs title="Cancelled" ids={cancelled} none="" />}
      <SendDialog isOpen={isSending} onClose={() => setSending(false)} name={event.name} data={event.data} />
    </Page>
  );
}

/** Of more only the number is told. */
const SHOWN = 50;

type RunsProps = { readonly title: string; readonly ids: readonly string[]; readonly none: string };

function Runs({ title, ids, none }: RunsProps) {
  return (
    <Section title={ids.length === 0 ? title : `${title} ${plural(ids.length, "run")}`}>
      {ids.length === 0 ? (
        <p className="muted">{none}</p>
      ) : (
        <ul className={styles.runs}>
          {ids.slice(0, SHOWN).map((id) => (
            <RunLine key={id} id={id} />
          ))}
          {ids.length > SHOWN && <li className="muted">and {plural(ids.length - SHOWN, "other")}</li>}
        </ul>
      )}
    </Section>
  );
}

function RunLine({ id }: { readonly id: string }) {
  const { data: run } = useQuery({
    queryKey: keys.run(id),
    queryFn: ({ signal }) => rotor.runs.get(id, { signal }),
    refetchInterval: POLL_MS,
  });
  return (
    <li>
      <Link to="/runs/$runId" params={{ runId: id }} className={styles.run}>
        {run === undefined ? (
          <code className="faint">{shortId(id)}</code>
        ) : (
          <StateBadge state={run.state} reason={run.reason} />
        )}
        <span className="cut">{run?.function}</span>
        <code className="faint">{shortId(id)}</code>
        <TimeText at={run?.createdAt} />
      </Link>
    </li>
  );
}
