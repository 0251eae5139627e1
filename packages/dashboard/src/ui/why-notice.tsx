/** Why a job or run does not move, in the server's sentence, with who is in its way and what unblocks it. */
import type { Why } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { POLL_MS } from "../api/live.js";
import { CopyButton } from "./copy.js";
import { Notice } from "./error-notice.js";
import { EventLink, JobLink } from "./links.js";
import { Sentence } from "./sentence.js";
import { TimeText } from "./time-text.js";
import styles from "./why-notice.module.css";

type Props = {
  readonly id: string;
  /** What can be pressed to unblock it. */
  readonly actions?: ReactNode;
};

/** Reasons that time or others end; anything else needs somebody. */
const CALM: readonly (Why["reason"] | null)[] = [
  "delayed",
  "queued",
  "sleeping",
  "event",
  "signal",
  "child",
  "approval",
  null,
];

export function WhyNotice({ id, actions }: Props) {
  const { data: why } = useQuery({
    queryKey: keys.why(id),
    queryFn: ({ signal }) => rotor.jobs.why(id, { signal }),
    refetchInterval: POLL_MS,
  });
  if (why === undefined) return null;
  const tone =
    why.state === "failed" || why.reason === "held" || why.reason === "no_url"
      ? "red"
      : CALM.includes(why.reason)
        ? "blue"
        : "amber";
  return (
    <Notice tone={tone}>
      <div className={styles.why}>
        <p>
          <Sentence text={why.sentence} />
        </p>
        {actions !== undefined && <div className="row wrap">{actions}</div>}
      </div>
      {why.blockedBy.length > 0 && (
        <p className={styles.more}>
          In its way:{" "}
          {why.blockedBy.map((holder) => (
            <span key={holder.id} className={styles.holder}>
              <JobLink id={holder.id} /> <span className="muted">{holder.queue}</span>
            </span>
          ))}
        </p>
      )}
      {why.nearMisses.length > 0 && <Misses misses={why.nearMisses} />}
      {why.unblock.length > 0 && (
        <ul className={styles.commands} aria-label="Commands that unblock it">
          {why.unblock.map((command) => (
            <li key={command}>
              <code>{command}</code>
              <CopyButton text={command} label="Copy this command" />
            </li>
          ))}
        </ul>
      )}
    </Notice>
  );
}

function Misses({ misses }: { readonly misses: Why["nearMisses"] }) {
  return (
    <details className={styles.misses}>
      <summary>
        {misses.length} event{misses.length === 1 ? "" : "s"} of that name did not match
      </summary>
      <ul>
        {misses.map((miss) => (
          <li key={`${miss.eventId}${miss.part}`}>
            <EventLink id={miss.eventId} /> <TimeText at={miss.receivedAt} />
            {miss.differences.map(({ path, wanted, found }) => (
              <span key={path}>
                {" "}
                · <code>{path}</code> was <code>{JSON.stringify(found) ?? "missing"}</code>, not{" "}
                <code>{JSON.stringify(wanted)}</code>
              </span>
            ))}
          </li>
        ))}
      </ul>
    </details>
  );
}
