/** The client of the HTTP API. What each call does stands in `client/`; this file only puts them together. */

import type { Health } from "./api.js";
import { keysOf, workspacesOf } from "./client/access.js";
import { auditOf } from "./client/audit.js";
import { type CallOptions, createCall, type RotorOptions } from "./client/call.js";
import { concurrencyKeysOf } from "./client/concurrency-keys.js";
import { deadLettersOf } from "./client/dead-letters.js";
import { eventsOf, sendOf } from "./client/events.js";
import { functionsOf } from "./client/functions.js";
import { jobsOf } from "./client/jobs.js";
import { approvalsOf, signalsOf } from "./client/people.js";
import { queuesOf } from "./client/queues.js";
import { runsOf } from "./client/runs.js";
import { schedulesOf } from "./client/schedules.js";
import { secretsOf } from "./client/secrets.js";
import { appsOf, findOf, statsOf } from "./client/standing.js";
import { webhooksOf } from "./client/webhooks.js";

/**
 * A Rotor server, seen from a program. Calls throw `RotorApiError` with the server's message, or `RotorConnectionError`
 * when no answer came; those that are harmless to repeat have been tried three times by then.
 */
export class Rotor {
  readonly #call;
  readonly queues;
  readonly jobs;
  readonly concurrencyKeys;
  readonly dlq;
  readonly schedules;
  readonly functions;
  readonly runs;
  readonly events;
  readonly send;
  readonly signals;
  readonly approvals;
  readonly webhooks;
  readonly secrets;
  readonly keys;
  readonly workspaces;
  readonly audit;
  readonly apps;
  readonly stats;
  readonly find;

  constructor(options: RotorOptions = {}) {
    const call = createCall(options);
    this.#call = call;
    this.queues = queuesOf(call);
    this.jobs = jobsOf(call);
    this.concurrencyKeys = concurrencyKeysOf(call);
    this.dlq = deadLettersOf(call);
    this.schedules = schedulesOf(call);
    this.functions = functionsOf(call);
    this.runs = runsOf(call);
    this.events = eventsOf(call);
    this.send = sendOf(call);
    this.signals = signalsOf(call);
    this.approvals = approvalsOf(call);
    this.webhooks = webhooksOf(call);
    this.secrets = secretsOf(call);
    this.keys = keysOf(call);
    this.workspaces = workspacesOf(call);
    this.audit = auditOf(call);
    this.apps = appsOf(call);
    this.stats = statsOf(call);
    this.find = findOf(call);
  }

  /** Whether the server lives; needs no key. */
  async health(options?: CallOptions): Promise<Health> {
    return (await this.#call("GET", "/healthz", options)) as Health;
  }
}
