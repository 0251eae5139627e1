/** Every delivery of a job or run: what was sent and answered, where the time went, what came of it. */
import type { Delivery } from "@rotorsh/sdk";
import styles from "./deliveries.module.css";
import { ErrorView } from "./error-view.js";
import { JsonView } from "./json-view.js";
import { Badge, type Tone } from "./state-badge.js";
import { span } from "./time.js";
import { TimeText } from "./time-text.js";

/** Outcomes in words. */
const OUTCOMES: Readonly<Record<string, { readonly word: string; readonly tone: Tone }>> = {
  completed: { word: "completed", tone: "green" },
  accepted: { word: "accepted, reports later", tone: "blue" },
  waiting: { word: "waits", tone: "violet" },
  yield: { word: "goes on", tone: "blue" },
  retry: { word: "failed, tried again", tone: "amber" },
  failed: { word: "failed", tone: "red" },
  expired: { word: "took too long", tone: "red" },
  unreached: { word: "app not reached", tone: "amber" },
  orphaned: { word: "its node died", tone: "amber" },
  released: { word: "given back", tone: "grey" },
  held: { word: "held", tone: "red" },
  cancelled: { word: "cancelled", tone: "grey" },
};

const outcomeOf = (outcome: string) => OUTCOMES[outcome] ?? { word: outcome, tone: "grey" as const };

const PARTS = [
  ["queueMs", "queue"],
  ["connectMs", "connect"],
  ["waitMs", "wait"],
  ["readMs", "read"],
] as const;

type Props = {
  readonly deliveries: readonly Delivery[];
  /** Of a job: shown as "Attempt 2 of 5". Of a run, whose deliveries are mostly no attempts: undefined. */
  readonly maxAttempts?: number;
  /** Number of the one that is open at first: by default the last. */
  readonly open?: number | undefined;
};

export function Deliveries({ deliveries, maxAttempts, open = deliveries.at(-1)?.delivery }: Props) {
  return (
    <ol className={styles.list}>
      {deliveries.toReversed().map((delivery) => (
        <li key={delivery.delivery} id={`delivery-${delivery.delivery}`}>
          <One delivery={delivery} maxAttempts={maxAttempts} isOpen={delivery.delivery === open} />
        </li>
      ))}
    </ol>
  );
}

type OneProps = { readonly delivery: Delivery; readonly maxAttempts: number | undefined; readonly isOpen: boolean };

function One({ delivery, maxAttempts, isOpen }: OneProps) {
  const { word, tone } = outcomeOf(delivery.outcome);
  return (
    <details className={styles.delivery} open={isOpen}>
      <summary>
        <span className={styles.attempt}>
          {maxAttempts === undefined ? (
            `Delivery ${delivery.delivery}`
          ) : (
            <>
              Attempt {delivery.attempt} <span className="faint">of {maxAttempts}</span>
            </>
          )}
        </span>
        <Badge tone={tone}>{word}</Badge>
        {delivery.status !== null && <code>{delivery.status}</code>}
        <span className={`${styles.reason} cut muted wide-only`}>{delivery.error?.message.split("\n")[0]}</span>
        <span className={styles.took}>{span(delivery.durationMs)}</span>
        <span className={styles.when}>
          <TimeText at={delivery.endedAt} />
        </span>
      </summary>
      <div className={styles.body}>
        <Timing delivery={delivery} />
        {delivery.error !== null && <ErrorView error={delivery.error} />}
        {delivery.output !== undefined && (
          <Part title="Answer's body">
            <JsonView label="Answer's body" value={delivery.output} />
          </Part>
        )}
        <div className={styles.heads}>
          {delivery.request !== undefined && (
            <Part title="Request">
              <Head first={`POST ${delivery.request.url}`} headers={delivery.request.headers} />
            </Part>
          )}
          <Part title="Answer">
            {delivery.response === undefined && delivery.status === null ? (
              <p className="muted">None came.</p>
            ) : (
              <Head first={`HTTP ${delivery.status ?? "?"}`} headers={delivery.response?.headers ?? {}} />
            )}
          </Part>
        </div>
        <p className="faint">
          Delivery {delivery.delivery}, ended <TimeText at={delivery.endedAt} as="full" />
        </p>
      </div>
    </details>
  );
}

const Part = ({ title, children }: { readonly title: string; readonly children: React.ReactNode }) => (
  <div className={styles.part}>
    <h3>{title}</h3>
    {children}
  </div>
);

/** The head of a request or an answer, as it went over the wire. */
function Head({ first, headers }: { readonly first: string; readonly headers: Readonly<Record<string, string>> }) {
  return (
    <div className={styles.head}>
      <p>{first}</p>
      <dl>
        {Object.entries(headers).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** Where the time went, as parts of one bar. */
function Timing({ delivery: { timing } }: { readonly delivery: Delivery }) {
  if (timing === undefined) return null;
  const parts = PARTS.flatMap(([key, word]) => {
    const ms = timing[key];
    return ms === undefined ? [] : [{ word, ms }];
  });
  if (parts.length === 0) return null;
  return (
    <div>
      <div className={styles.timing} aria-hidden="true">
        {parts.map(({ word, ms }) => (
          <span key={word} data-part={word} style={{ flexGrow: Math.max(ms, 0.01) }} />
        ))}
      </div>
      <ul className={styles.legend}>
        {parts.map(({ word, ms }) => (
          <li key={word}>
            <span data-part={word} aria-hidden="true" />
            {word} <span className="number muted">{span(ms)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
