/** `rotor approvals …`: jobs that wait for a person's yes. */

import type { Approval } from "@rotorsh/sdk";
import { type Command, Option } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

type Decision = JsonOption & { readonly reason?: string };

const STATUSES: readonly Approval["status"][] = ["pending", "approved", "rejected", "expired"];

export function addApprovals(program: Command, context: Context): void {
  const approvals = group(program, "approvals", "jobs that wait for a person's yes");

  listLeaf(approvals, "list", "list the approvals")
    .addOption(new Option("--status <status>", "only those with this status").choices(STATUSES))
    .action(async (options: PageOptions & { readonly status?: Approval["status"] }) => {
      const { limit, status } = options;
      await showPage<Approval>(
        context,
        options,
        clientOf(context).approvals.list({ limit, status }),
        [
          ["ID", (approval) => approval.id],
          ["QUEUE", (approval) => approval.queue],
          ["JOB", (approval) => approval.jobId],
          ["STATUS", (approval) => approval.status],
          ["EXPIRES", (approval) => approval.expiresAt],
          ["PAYLOAD", (approval) => approval.payload],
        ],
        "No such approvals.",
      );
    });
  leaf(approvals, "approve <id>", "let the job go")
    .option("--reason <text>", "kept with the decision")
    .action(async (id: string, options: Decision) => {
      const { reason } = options;
      const approval = await clientOf(context).approvals.approve(id, { reason });
      show(context, options, approval, () => `Approved ${clean(id)}.`);
    });
  leaf(approvals, "reject <id>", "fail the job")
    .option("--reason <text>", "kept with the decision")
    .action(async (id: string, options: Decision) => {
      const { reason } = options;
      const approval = await clientOf(context).approvals.reject(id, { reason });
      show(context, options, approval, () => `Rejected ${clean(id)}.`);
    });
}
