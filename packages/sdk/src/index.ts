/** The public surface of `@rotorsh/sdk`, and nothing else. */

export type { RouteHandler } from "./adapters/any.js";
export { nodeHandler } from "./adapters/node.js";
export type * from "./api.js";
export type * from "./api-check.js";
export type { Backoff } from "./backoff.js";
export { type CallbackJob, type CallbackOptions, callbackHandler } from "./callback.js";
export type { KeyOptions, Overlap } from "./client/access.js";
export type { AuditFilter } from "./client/audit.js";
export type { BulkOptions } from "./client/bulk.js";
export type { CallOptions, RotorOptions } from "./client/call.js";
export type { DeadLetterFilter, PurgeOptions, Rate, ReplayOptions } from "./client/dead-letters.js";
export type { EventFilter, SendableEvent } from "./client/events.js";
export type { AllJobsFilter, JobChanges, JobFilter, JobOptions } from "./client/jobs.js";
export type { Listing, ListOptions, Page } from "./client/listing.js";
export type { CompletedSignal } from "./client/people.js";
export type { QueueOptions } from "./client/queues.js";
export type { CancelOptions, RunFilter, RunSelection, StartOptions } from "./client/runs.js";
export type { ScheduleChanges, ScheduleOptions, ScheduleTarget } from "./client/schedules.js";
export type { WebhookOptions } from "./client/webhooks.js";
export { Rotor } from "./client.js";
export type { Duration } from "./duration.js";
export {
  NonRetriableError,
  RetryAfterError,
  RotorApiError,
  RotorConnectionError,
  RotorError,
  RotorInputError,
  SignalTimeoutError,
  StepError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowSkippedError,
  WorkflowTimeoutError,
} from "./errors.js";
export { defineEvent, type EventDefinition, type EventName, type EventSchema, type EventToSend } from "./events.js";
export {
  type CronTrigger,
  createFunction,
  type EventOf,
  type EventTrigger,
  type FunctionConfig,
  type FunctionContext,
  type Logger,
  type RotorFunction,
} from "./function.js";
export type { FailureContext } from "./function-failure.js";
export type { ConcurrencyOption, FunctionOptions } from "./function-options.js";
export type { Jsonify } from "./json.js";
export { type ServableApp, type ServeOptions, serveWorkflow } from "./mount.js";
export type { Json, MatchObject } from "./protocol.js";
export { type WorkflowHandler, type WorkflowOptions, workflowHandler } from "./serve.js";
export {
  type HeaderValue,
  newSecret,
  type Secret,
  type VerifyOptions,
  verifyRotorSignature,
  verifyRotorWebhook,
} from "./signature.js";
export type { First, JobToEnqueue, RunOptions, Step, StepContext, WaitPart } from "./step.js";
