/** What is written into a queue: its limits, and a job. */
import type { Queue } from "@rotorsh/sdk";
import { useNavigate } from "@tanstack/react-router";
import { useTouch } from "../../api/action.js";
import { rotor } from "../../api/client.js";
import { Field } from "../../ui/dialog.js";
import dialogStyles from "../../ui/dialog.module.css";
import { FormDialog, written, writtenJson } from "../../ui/form-dialog.js";
import { tell } from "../../ui/toasts.js";

type LimitsProps = { readonly queue: Queue; readonly isOpen: boolean; readonly onClose: () => void };

export function LimitsDialog({ queue, isOpen, onClose }: LimitsProps) {
  const touch = useTouch();
  return (
    <FormDialog
      title={`Limits of ${queue.name}`}
      verb="Save"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const concurrency = written(form, "concurrency");
        const limit = written(form, "limit");
        const period = written(form, "period");
        if ((limit === undefined) !== (period === undefined))
          throw new Error("A rate limit has a number and a period: write both, or neither.");
        const key = queue.rateLimit?.key;
        await rotor.queues.update(queue.name, {
          callbackUrl: written(form, "url") ?? null,
          concurrency: concurrency === undefined ? null : Number(concurrency),
          rateLimit:
            limit === undefined
              ? null
              : { limit: Number(limit), period: period as "1s", ...(key === undefined ? {} : { key }) },
          retry: { maxAttempts: Number(written(form, "attempts") ?? queue.retry.maxAttempts) },
        });
        tell("It is so from now on");
        await touch("queue", "queues", "stats");
      }}
    >
      <Field label="Callback URL" hint="Without one, jobs wait.">
        <input name="url" defaultValue={queue.callbackUrl ?? ""} spellCheck={false} />
      </Field>
      <div className={dialogStyles.pair}>
        <Field label="Deliveries at a time" hint="Empty: no limit.">
          <input name="concurrency" type="number" min={1} defaultValue={queue.concurrency ?? ""} />
        </Field>
        <Field label="Attempts in all">
          <input name="attempts" type="number" min={1} required defaultValue={queue.retry.maxAttempts} />
        </Field>
        <Field label="Rate limit" hint="Delays, never drops. Empty: none.">
          <input name="limit" type="number" min={1} defaultValue={queue.rateLimit?.limit ?? ""} />
        </Field>
        <Field label="In a period of" hint="Such as 1s, 1m, 1h.">
          <input name="period" defaultValue={queue.rateLimit?.period ?? ""} />
        </Field>
      </div>
    </FormDialog>
  );
}

type EnqueueProps = { readonly queue: string; readonly isOpen: boolean; readonly onClose: () => void };

export function EnqueueDialog({ queue, isOpen, onClose }: EnqueueProps) {
  const navigate = useNavigate();
  return (
    <FormDialog
      title={`Enqueue into ${queue}`}
      verb="Enqueue"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const delay = written(form, "delay");
        const { id } = await rotor.jobs.enqueue(queue, {
          payload: writtenJson(form, "payload"),
          ...(delay === undefined ? {} : { delay: delay as "1s" }),
        });
        await navigate({ to: "/jobs/$jobId", params: { jobId: id } });
      }}
    >
      <Field label="Payload" hint="JSON, delivered as it is written.">
        <textarea name="payload" spellCheck={false} defaultValue="{}" />
      </Field>
      <Field label="Delay" hint="Such as 30s or 2h. Empty: now.">
        <input name="delay" />
      </Field>
    </FormDialog>
  );
}
