/** Whether all is well, what is late, what fails, and since when: at one glance. */
import type { Stats, StatsWindow } from "@rotorsh/sdk";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { statsQuery, WINDOWS } from "../api/stats.js";
import { Chart, type Series } from "../ui/chart.js";
import { countText } from "../ui/count.js";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { ChoiceFilter } from "../ui/filters.js";
import { useNow } from "../ui/now.js";
import { Card, Fact, Facts, Page, Section } from "../ui/page.js";
import { Tile, Tiles } from "../ui/tile.js";
import { roughly, span } from "../ui/time.js";
import { Span, TimeText } from "../ui/time-text.js";
import styles from "./overview/overview.module.css";
import { Problems } from "./overview/problems.js";
import { Standing } from "./overview/standing.js";

const route = getRouteApi("/shell/");

const WINDOW_WORDS: Readonly<Record<StatsWindow, string>> = { "1h": "hour", "6h": "6 hours", "24h": "day" };

export function Overview() {
  const { window = "1h" } = route.useSearch();
  const navigate = route.useNavigate();
  const { data: stats, error, refetch } = useQuery(statsQuery(window));
  return (
    <Page
      title="Overview"
      actions={
        <ChoiceFilter
          label="How far back"
          any="Last hour"
          value={window === "1h" ? undefined : window}
          onChange={(next) =>
            void navigate({ search: next === undefined ? {} : { window: next as StatsWindow }, replace: true })
          }
          choices={WINDOWS.filter((each) => each !== "1h").map((value) => ({
            value,
            label: `Last ${WINDOW_WORDS[value]}`,
          }))}
        />
      }
    >
      {error && stats === undefined ? (
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      ) : stats === undefined ? (
        <div className={styles.waiting} role="status">
          <span className="unseen">Loading</span>
        </div>
      ) : (
        <Board stats={stats} />
      )}
    </Page>
  );
}

function Board({ stats }: { readonly stats: Stats }) {
  if (stats.queues.length === 0)
    return (
      <>
        <Problems stats={stats} />
        <EmptyState
          title="Nothing to watch yet"
          code={
            "rotor queues create emails --callback-url http://127.0.0.1:3000/emails\nrotor functions sync http://127.0.0.1:3000/api/rotor"
          }
        >
          Make a queue for jobs that Rotor POSTs to your endpoint, or let it read the functions of your app. What they
          do then stands here.
        </EmptyState>
      </>
    );
  return (
    <>
      <Problems stats={stats} />
      <Figures stats={stats} />
      <Charts stats={stats} />
      <Section title="Queues and functions">
        <Standing stats={stats} />
      </Section>
      <Section title="Server">
        <Server stats={stats} />
      </Section>
    </>
  );
}

function Figures({ stats }: { readonly stats: Stats }) {
  const { totals, window, queues } = stats;
  const now = useNow();
  const oldest = queues
    .map((queue) => queue.oldestDueAt)
    .filter((at) => at !== null)
    .sort()[0];
  const isLate = stats.problems.some(({ type }) => type === "queue.late");
  const share = totals.ended === 0 ? 0 : totals.failures / totals.ended;
  return (
    <Tiles label="Figures">
      <Tile
        name="Due now"
        value={countText(totals.due)}
        note={oldest === undefined ? "nothing waits for a slot" : `oldest for ${roughly(now - Date.parse(oldest))}`}
        tone={isLate ? "red" : undefined}
      />
      <Tile name="Running" value={countText(totals.active)} note="deliveries in hand" />
      <Tile
        name="Waiting"
        value={countText(totals.waiting)}
        note={totals.blocked.count === 0 ? "for their time" : `and ${countText(totals.blocked)} for a key`}
      />
      <Tile
        name="Approvals"
        value={countText(totals.pendingApproval)}
        note={totals.pendingApproval.count === 0 ? "nobody is asked" : "wait for a person"}
        tone={totals.pendingApproval.count > 0 ? "violet" : undefined}
        link={{ to: "/approvals" }}
      />
      {totals.held.count > 0 && (
        <Tile
          name="Held runs"
          value={countText(totals.held)}
          note="their code diverged"
          tone="red"
          link={{ to: "/runs", search: { state: "held" } }}
        />
      )}
      <Tile
        name="Dead letters"
        value={countText(totals.failed)}
        note={totals.failed.count === 0 ? "nothing failed for good" : "failed for good"}
        tone={totals.failed.count > 0 ? "amber" : undefined}
        link={{ to: "/dead-letters" }}
      />
      <Tile
        name={`Deliveries, last ${WINDOW_WORDS[window]}`}
        value={totals.ended.toLocaleString("en")}
        note={
          totals.failures === 0 ? "none failed" : `${totals.failures.toLocaleString("en")} failed, ${percent(share)}`
        }
        tone={share >= 0.5 && totals.ended >= 10 ? "red" : undefined}
      />
    </Tiles>
  );
}

const percent = (share: number): string =>
  share > 0 && share < 0.001 ? "under 0.1 %" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

function Charts({ stats: { series } }: { readonly stats: Stats }) {
  const part = series.stepS === 60 ? "minute" : `${series.stepS / 60} minutes`;
  const common = { from: Date.parse(series.from), stepMs: series.stepS * 1_000 };
  const deliveries: Series[] = [
    { name: "all", color: "blue", values: series.ended },
    { name: "failed", color: "red", values: series.failures },
  ];
  const waits: Series[] = [{ name: "longest wait", color: "violet", values: series.waitMs }];
  return (
    <div className={styles.charts}>
      <Card>
        <Chart
          title={`Deliveries by ${part}`}
          {...common}
          series={deliveries}
          format={(value) => (Number.isInteger(value) ? value.toLocaleString("en") : "")}
          shape="bars"
        />
      </Card>
      <Card>
        <Chart title="From due to start, the longest" {...common} series={waits} format={span} shape="line" />
      </Card>
    </div>
  );
}

function Server({ stats: { nodes, store, environment, at } }: { readonly stats: Stats }) {
  const alive = nodes.filter((node) => node.alive);
  const oldest = store.oldestTransactionMs;
  return (
    <Facts>
      <Fact name="Environment">{environment}</Fact>
      <Fact name="Store">{store.store}</Fact>
      <Fact name={alive.length === 1 ? "Node" : `Nodes (${alive.length})`}>
        {alive.length === 0
          ? "none is alive"
          : alive.map(({ id, label, startedAt }) => (
              <div key={id}>
                {label}, since <TimeText at={startedAt} />
              </div>
            ))}
      </Fact>
      <Fact name="Oldest transaction">{oldest === null ? "none is open" : <Span ms={oldest} />}</Fact>
      <Fact name="Seen">
        <TimeText at={at} />
      </Fact>
    </Facts>
  );
}
