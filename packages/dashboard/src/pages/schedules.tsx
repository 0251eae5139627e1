/** Schedules: what fires by the clock, when next, and by hand. */
import type { Schedule } from "@rotorsh/sdk";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Ellipsis, Pause, Play, Plus, Trash2, Zap } from "lucide-react";
import { useMemo, useState } from "react";
import { useAction, useTouch } from "../api/action.js";
import { rotor } from "../api/client.js";
import { keys } from "../api/keys.js";
import { useListing } from "../api/listing.js";
import { useMay } from "../api/session.js";
import { Button } from "../ui/button.js";
import { type Column, DataTable } from "../ui/data-table.js";
import { ConfirmDialog, Field } from "../ui/dialog.js";
import dialogStyles from "../ui/dialog.module.css";
import { EmptyState } from "../ui/empty-state.js";
import { ErrorNotice } from "../ui/error-notice.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { FormDialog, written, writtenJson } from "../ui/form-dialog.js";
import { Menu } from "../ui/menu.js";
import { Page } from "../ui/page.js";
import { Badge } from "../ui/state-badge.js";
import { localTime, utcTime } from "../ui/time.js";
import { TimeText } from "../ui/time-text.js";

const route = getRouteApi("/shell/schedules");

const TOUCHES = ["schedules", "stats", "jobs", "runs"];

const columns: readonly Column<Schedule>[] = [
  {
    id: "name",
    header: "Schedule",
    cell: (schedule) => (
      <span className="cut">{schedule.owned ? <span className="muted">by its function</span> : schedule.name}</span>
    ),
  },
  {
    id: "target",
    header: "Starts",
    width: "minmax(0, 0.8fr)",
    cell: ({ queue, function: id }) =>
      id !== null ? (
        <Link to="/functions/$functionId" params={{ functionId: id }} className="link">
          {id}
        </Link>
      ) : (
        <Link to="/queues/$queue" params={{ queue: queue ?? "" }} className="link">
          {queue}
        </Link>
      ),
  },
  {
    id: "cron",
    header: "When",
    isWideOnly: true,
    cell: ({ cron, timezone }) => (
      <>
        <code>{cron}</code> <span className="muted">{timezone}</span>
      </>
    ),
  },
  { id: "next", header: "Next", width: "118px", cell: (schedule) => <Next schedule={schedule} /> },
  {
    id: "last",
    header: "Last",
    width: "88px",
    align: "right",
    isWideOnly: true,
    cell: (schedule) => <TimeText at={schedule.lastAt} />,
  },
  {
    id: "missed",
    header: "Missed",
    width: "64px",
    align: "right",
    isWideOnly: true,
    cell: ({ missed }) =>
      missed.count === 0 ? <span className="faint">0</span> : <span className="tone-amber">{missed.count}</span>,
  },
];

/** The next fire; the four after it, in the reader's time and UTC, on hover. */
function Next({ schedule: { pausedAt, nextFires } }: { readonly schedule: Schedule }) {
  if (pausedAt !== null) return <Badge tone="amber">paused</Badge>;
  const all = nextFires.map((at) => `${localTime(Date.parse(at))} · ${utcTime(Date.parse(at))}`).join("\n");
  return (
    <span title={all}>
      <TimeText at={nextFires[0]} />
    </span>
  );
}

export function Schedules() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMay("write");
  const [isMaking, setMaking] = useState(false);
  const [doomed, setDoomed] = useState<string>();
  const touch = useTouch();
  const { act } = useAction();
  const list = useListing(keys.schedules(), (signal) => rotor.schedules.list({ limit: 500, signal }));
  const rows = list.rows.filter(({ name, queue, function: id }) =>
    [name, queue, id].some((text) => text?.toLowerCase().includes(q.toLowerCase())),
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is called is the same at each time.
  const shown = useMemo(
    () =>
      mayWrite
        ? [
            ...columns,
            {
              id: "do",
              header: "Actions",
              width: "72px",
              align: "right" as const,
              cell: (schedule: Schedule) => (
                <Actions schedule={schedule} act={act} onDelete={() => setDoomed(schedule.name)} />
              ),
            },
          ]
        : columns,
    [mayWrite],
  );
  return (
    <Page
      title="Schedules"
      actions={
        mayWrite && (
          <Button kind="primary" icon={<Plus />} onClick={() => setMaking(true)}>
            New schedule
          </Button>
        )
      }
    >
      <Filters onClear={q === "" ? undefined : () => void navigate({ search: {}, replace: true })}>
        <TextFilter
          isSearch
          label="Name, queue or function"
          placeholder="Name or target"
          value={q}
          onChange={(next) => void navigate({ search: next === undefined ? {} : { q: next }, replace: true })}
        />
      </Filters>
      {list.error ? (
        <ErrorNotice error={list.error} onRetry={list.refetch} />
      ) : (
        <DataTable
          label="Schedules"
          columns={shown}
          rows={rows}
          rowKey={({ name }) => name}
          isLoading={list.isLoading}
          onEnd={list.onEnd}
          empty={
            q !== "" ? (
              <EmptyState title="No schedule is like this">Take the filter away to see all.</EmptyState>
            ) : (
              <EmptyState
                title="No schedule yet"
                code={
                  "rotor schedules create --queue emails --name digest --cron '0 9 * * MON-FRI' --timezone Europe/Stockholm --job-data '{}'"
                }
              >
                A schedule enqueues a job, or starts a function, whenever its time has come.
              </EmptyState>
            )
          }
        />
      )}
      <NewSchedule isOpen={isMaking} onClose={() => setMaking(false)} />
      <ConfirmDialog
        title={`Delete ${doomed}?`}
        isOpen={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        verb="Delete it"
        isDangerous
        onConfirm={async () => {
          await rotor.schedules.delete(doomed!);
          await touch(...TOUCHES);
        }}
      >
        <p>It fires no more. What it has enqueued stays.</p>
      </ConfirmDialog>
    </Page>
  );
}

type ActionsProps = {
  readonly schedule: Schedule;
  readonly act: ReturnType<typeof useAction>["act"];
  readonly onDelete: () => void;
};

function Actions({ schedule: { name, pausedAt, owned }, act, onDelete }: ActionsProps) {
  const turn =
    pausedAt === null
      ? {
          label: "Pause",
          icon: <Pause />,
          onSelect: () => void act(() => rotor.schedules.pause(name), { done: "It fires no more", touches: TOUCHES }),
        }
      : {
          label: "Resume",
          icon: <Play />,
          onSelect: () => void act(() => rotor.schedules.resume(name), { done: "It fires again", touches: TOUCHES }),
        };
  const run = () => void act(() => rotor.schedules.run(name), { done: "It has fired", touches: TOUCHES });
  return (
    <span className="row">
      <Button kind="quiet" label={`Run ${name} now`} icon={<Zap />} onClick={run} />
      <Menu
        kind="quiet"
        label={`More for ${name}`}
        icon={<Ellipsis />}
        entries={[
          turn,
          ...(owned ? [] : [{ label: "Delete", icon: <Trash2 />, onSelect: onDelete, isDangerous: true }]),
        ]}
      />
    </span>
  );
}

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

function NewSchedule({ isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void }) {
  const touch = useTouch();
  return (
    <FormDialog
      title="New schedule"
      verb="Make it"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const target = written(form, "target")!;
        const payload = writtenJson(form, "payload");
        await rotor.schedules.create(written(form, "name")!, {
          ...(form.get("kind") === "function" ? { function: target } : { queue: target }),
          cron: written(form, "cron")!,
          timezone: written(form, "timezone")!,
          ...(payload === undefined ? {} : { payload }),
        });
        await touch(...TOUCHES);
      }}
    >
      <Field label="Name">
        <input name="name" required maxLength={128} spellCheck={false} placeholder="digest" />
      </Field>
      <div className={dialogStyles.pair}>
        <Field label="Starts a">
          <select name="kind">
            <option value="queue">job in a queue</option>
            <option value="function">run of a function</option>
          </select>
        </Field>
        <Field label="Its name">
          <input name="target" required spellCheck={false} placeholder="emails" />
        </Field>
        <Field label="Cron" hint="Five or six fields, or @daily.">
          <input name="cron" required spellCheck={false} placeholder="0 9 * * MON-FRI" />
        </Field>
        <Field label="Time zone">
          <input name="timezone" required spellCheck={false} defaultValue={ZONE} />
        </Field>
      </div>
      <Field label="Payload" hint="JSON. Empty: null.">
        <textarea name="payload" spellCheck={false} />
      </Field>
    </FormDialog>
  );
}
