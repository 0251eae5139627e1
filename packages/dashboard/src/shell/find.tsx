/** Finds whatever has an id or a name, and goes there. Loaded when it is first opened. */
import type { Found } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { Link, type LinkProps, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { rotor } from "../api/client.js";
import { Dialog, Field } from "../ui/dialog.js";
import { messageOf } from "../ui/error-notice.js";
import { StateBadge } from "../ui/state-badge.js";
import styles from "./find.module.css";

type Props = { readonly onClose: () => void };

/** Nothing is asked for while somebody types. */
const SETTLE_MS = 250;

const WORDS: Readonly<Record<Found["type"], string>> = {
  run: "Run",
  job: "Job",
  event: "Event",
  queue: "Queue",
  function: "Function",
  schedule: "Schedule",
  webhook: "Webhook",
};

function linkOf({ type, id }: Found): LinkProps {
  switch (type) {
    case "run":
      return { to: "/runs/$runId", params: { runId: id } };
    case "job":
      return { to: "/jobs/$jobId", params: { jobId: id } };
    case "event":
      return { to: "/events/$eventId", params: { eventId: id } };
    case "queue":
      return { to: "/queues/$queue", params: { queue: id } };
    case "function":
      return { to: "/functions/$functionId", params: { functionId: id } };
    case "schedule":
      return { to: "/schedules" };
    case "webhook":
      return { to: "/webhooks/$webhook", params: { webhook: id } };
  }
}

export function Find({ onClose }: Props) {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const found = useQuery({
    queryKey: ["find", asked],
    queryFn: ({ signal }) => rotor.find(asked, { signal }),
    enabled: asked !== "",
    staleTime: 0,
  });
  const isAnswered = asked !== "" && asked === text.trim() && found.data !== undefined;
  return (
    <Dialog title="Find" isOpen onClose={onClose}>
      <form
        className={styles.find}
        onSubmit={(event) => {
          event.preventDefault();
          const [first] = isAnswered ? found.data : [];
          if (first === undefined) return setAsked(text.trim());
          onClose();
          void navigate(linkOf(first) as never);
        }}
      >
        <Field label="An id, a job's own id, or a name" hint="It is looked for as a whole, not as a part.">
          <input
            value={text}
            spellCheck={false}
            autoComplete="off"
            onChange={(event) => setText(event.target.value)}
            autoFocus
          />
        </Field>
        {found.error && <p role="alert">{messageOf(found.error)}</p>}
        <div role="status">
          {isAnswered && found.data.length === 0 && <p className="muted">Nothing here has it.</p>}
        </div>
        {isAnswered && found.data.length > 0 && (
          <ul aria-label="Found">
            {found.data.map((each) => (
              <li key={`${each.type} ${each.id}`}>
                <Link {...linkOf(each)} onClick={onClose}>
                  <span className="muted">{WORDS[each.type]}</span>
                  <span className="cut">{each.name ?? each.id}</span>
                  {each.queue !== null && <span className="cut muted">{each.queue}</span>}
                  {each.state !== null && <StateBadge state={each.state} />}
                </Link>
              </li>
            ))}
          </ul>
        )}
      </form>
    </Dialog>
  );
}
