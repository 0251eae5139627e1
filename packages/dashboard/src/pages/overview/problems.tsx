/** What is wrong, the worst first, each with the way to where it can be mended. Or that all is well. */
import type { Problem, Stats } from "@rotorsh/sdk";
import { Link, type LinkProps } from "@tanstack/react-router";
import { CircleAlert, CircleCheck, TriangleAlert } from "lucide-react";
import { useNow } from "../../ui/now.js";
import { localTime, roughly, utcTime } from "../../ui/time.js";
import { plural } from "../../ui/words.js";
import styles from "./overview.module.css";

/** Where it can be mended; undefined: nowhere here. */
function linkOf({ type, subject, kind }: Problem): LinkProps | undefined {
  if (subject === null) return undefined;
  if (type === "app.unreachable") return { to: "/functions" };
  if (type === "schedule.missed") return { to: "/schedules", search: { q: subject } };
  if (kind === "function") return { to: "/functions/$functionId", params: { functionId: subject } };
  return { to: "/queues/$queue", params: { queue: subject } };
}

export function Problems({ stats: { problems } }: { readonly stats: Stats }) {
  if (problems.length === 0)
    return (
      <div className={styles.well} role="status">
        <CircleCheck aria-hidden="true" />
        <div>
          <strong>All is well.</strong>{" "}
          <span className="muted">
            Nothing is late, nothing fails more often than it succeeds, every app is reached.
          </span>
        </div>
      </div>
    );
  const hasError = problems.some(({ severity }) => severity === "error");
  return (
    <section className={`${styles.problems} ${hasError ? styles.error : ""}`} aria-label="Problems">
      <h2 className={styles.headline}>
        {hasError ? <CircleAlert aria-hidden="true" /> : <TriangleAlert aria-hidden="true" />}
        {plural(problems.length, "thing")} {problems.length === 1 ? "needs" : "need"} a look
      </h2>
      <ul>
        {problems.map((problem) => (
          <Line key={`${problem.type} ${problem.kind} ${problem.subject}`} problem={problem} />
        ))}
      </ul>
    </section>
  );
}

/** How long it has been so. */
function For({ at }: { readonly at: string }) {
  const now = useNow();
  const time = Date.parse(at);
  return (
    <time dateTime={at} title={`since ${localTime(time)} · ${utcTime(time)}`}>
      {roughly(now - time)}
    </time>
  );
}

function Line({ problem }: { readonly problem: Problem }) {
  const { severity, message, since } = problem;
  const link = linkOf(problem);
  return (
    <li className={styles.problem} data-severity={severity}>
      {severity === "error" ? <CircleAlert aria-label="Error" /> : <TriangleAlert aria-label="Warning" />}
      <p>
        {link === undefined ? (
          message
        ) : (
          <Link {...link} className="link">
            {message}
          </Link>
        )}
      </p>
      <span className={styles.since}>
        {since !== null && (
          <>
            for <For at={since} />
          </>
        )}
      </span>
    </li>
  );
}
