/**
 * Every limit of the server, with its reason. Nothing else may hold a number that bounds what a user can do.
 */
const KiB = 1024;
const MiB = 1024 * KiB;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export const limits = {
  // --- what comes in -------------------------------------------------------------------------------------------------
  /** A request's body. Larger things belong in a store of their own, with a reference in the payload. */
  bodyBytes: MiB,
  /** A checkpoint's body: many results share one POST, and one result may have 4 MiB; SDKs split above 4 MB. */
  checkpointBytes: 16 * MiB,
  /** Nesting of JSON. `JSON.stringify` of deeper values overflows the stack of many readers. */
  jsonDepth: 64,
  /** Jobs in one batch, events in one send: what commits in well under a second. */
  batch: 1_000,
  /** Length of names of queues, schedules, apps, functions, events. */
  nameLength: 128,
  /** Length of a client's own job or event id: fits an index entry with room to spare. */
  keyLength: 256,
  /** Of a signal's id: the default is a run's id and a step's. */
  signalLength: 300,
  tags: 10,
  tagLength: 64,
  /** A CEL expression. Checked before it is parsed. */
  expressionLength: 2_000,
  expressionNodes: 500,
  expressionDepth: 32,
  /** A delay, a sleep, a wait: a year. Longer plans belong in a schedule. */
  delayMs: 366 * day,
  priority: 100,
  maxAttempts: 1_000,
  concurrency: 100_000,
  /** Of one delivery. Half a day is a batch job; longer work answers 202 and reports back. */
  timeoutMs: 12 * hour,
  asyncTimeoutMs: 7 * day,
  listPage: 1_000,

  // --- what is kept --------------------------------------------------------------------------------------------------
  /** Of a callback's answer; the rest is cut. Enough for a result, too little for a page of HTML. */
  callbackOutputBytes: 64 * KiB,
  /** Of a run. */
  runOutputBytes: MiB,
  stepOutputBytes: 4 * MiB,
  stepsPerRun: 1_000,
  /** Shown with a failure; stacks of generated code are endless. */
  errorMessageLength: 8 * KiB,
  errorStackLength: 16 * KiB,

  // --- deliveries ----------------------------------------------------------------------------------------------------
  /** Deliveries in hand on one node. A delivery costs a socket and some kilobytes while it lasts. */
  inFlight: 1_000,
  /** Jobs of one queue taken by one claim, so that a deep queue does not hold up the others. */
  claim: 200,
  /** Between two claims of a busy node: long enough to batch, too short to be felt. */
  claimGapMs: 3,
  /** Queues visited by one look. */
  queuesPerLook: 1_000,
  /** Of a workflow delivery's request body: what proxies commonly allow. */
  deliveryBytes: MiB,
  /** A workflow delivery lives this long past its last sign of life. */
  runTimeoutMs: 10 * minute,
  /** Silence on a workflow delivery; apps send a sign of life every 5 s. */
  runSilenceMs: 30 * second,
  /** An answer to a workflow delivery. */
  answerBytes: 8 * MiB,
  /** Deliveries of one job in a row whose node died: past this the job itself is the likely killer. */
  rescues: 5,
  /** `Retry-After` is honoured up to here. */
  retryAfterMs: day,
  /** An app that cannot be reached for this long fails its runs. */
  unreachableMs: day,
  /** First and longest pause of a queue whose endpoint cannot be reached. */
  breakerMinMs: 2 * second,
  breakerMaxMs: minute,
  /** A held run waits this long for its operator. */
  heldMs: 30 * day,
  approvalTimeoutMs: 7 * day,
  /** Past its limit by this much, an active job is taken from whoever holds it. */
  expiryGraceMs: 5 * second,

  // --- nodes ---------------------------------------------------------------------------------------------------------
  leaseMs: 5 * second,
  renewMs: second,
  /** A wake-up that was lost costs at most this. */
  pollMs: second,
  /** How often a node compares what it holds to what the database says it holds. */
  reconcileMs: 5 * second,

  // --- fan-out -------------------------------------------------------------------------------------------------------
  /** Runs started and waits ended by one event in the commit that stores it; the rest follows by its cursor. */
  effects: 1_000,
  /** Scalar leaves of an event's data that are looked up; of an event with more, all waits for its name are tested. */
  eventLeaves: 1_000,
  /** Stored events that a new wait looks back over. */
  lookBack: 10_000,

  // --- connections ---------------------------------------------------------------------------------------------------
  connections: 12,
  connectTimeoutMs: 10 * second,
  statementTimeoutMs: 30 * second,
  /** Our own locks are held for milliseconds; who waits this long waits for a stranger. */
  lockTimeoutMs: 5 * second,
  /** Items that one writer takes into a transaction. */
  writeBatch: 500,
} as const;
