/** What starts a function, in words. */
import type { FunctionView } from "@rotorsh/sdk";

export const triggerText = (trigger: FunctionView["triggers"][number]): string =>
  trigger.event === undefined
    ? `${trigger.cron} ${trigger.timezone}`
    : trigger.if === undefined
      ? trigger.event
      : `${trigger.event} if ${trigger.if}`;
