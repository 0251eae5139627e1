/** What a webhook can be told of, to choose from. */
import type { Webhook } from "@rotorsh/sdk";
import styles from "../../ui/dialog.module.css";

const GROUPS: readonly (readonly [name: string, types: Webhook["types"]])[] = [
  ["Jobs and runs that fail", ["job.failed", "run.failed", "run.held", "job.stalled"]],
  ["Jobs and runs that complete", ["job.completed", "run.completed"]],
  [
    "Queues, apps and schedules in trouble",
    [
      "queue.late",
      "queue.late.recovered",
      "queue.failing",
      "queue.failing.recovered",
      "queue.error",
      "app.unreachable",
      "app.unreachable.recovered",
      "schedule.missed",
      "schedule.missed.recovered",
    ],
  ],
  ["Approvals", ["approval.pending", "approval.approved", "approval.rejected"]],
  ["Queues that are drained", ["queue.drained"]],
];

export function TypesField({ types = ["*"] }: { readonly types?: Webhook["types"] }) {
  const isAll = types.includes("*");
  return (
    <fieldset className={styles.checks}>
      <legend>Is told of</legend>
      {GROUPS.map(([name, group]) => (
        <label key={name}>
          <input
            type="checkbox"
            name="types"
            value={group.join()}
            defaultChecked={isAll || group.some((type) => types.includes(type))}
          />
          <span>{name}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** What was chosen; all of it is everything, also what later versions tell of. */
export function typesOf(form: FormData): Webhook["types"] {
  const groups = form.getAll("types").map(String);
  if (groups.length === 0) throw new Error("Choose something that it is told of.");
  return groups.length === GROUPS.length
    ? ["*"]
    : (groups.flatMap((group) => group.split(",")) as unknown as Webhook["types"]);
}
