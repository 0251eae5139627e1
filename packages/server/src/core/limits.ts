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
  /** Calls, loops, `in` and `+`: each may go through all of an event's mebibyte, in some ten milliseconds. */
  expressionWalks: 20,
  /** A delay, a sleep, a wait: a year. Longer plans belong in a schedule. */
  delayMs: 366 * day,
  priority: 100,
  /** Concurrency keys of a run, a singleton's among them: its row has room for two, and each is a lock that its claim takes. */
  functionKeys: 2,
  /** Events that cancel a run: each start stores a row for each. */
  cancelOn: 10,
  /** Events that a batch gathers, as they stand in its delivery, which has a mebibyte. */
  gatheredBytes: MiB,
  maxAttempts: 1_000,
  concurrency: 100_000,
  /** Of a rate limit: more in a period is no limit that anybody would notice. */
  rate: 1_000_000,
  /** A rate's period: below, its parts are shorter than the time between two claims; above, a quota belongs elsewhere. */
  ratePeriodMinMs: 100,
  ratePeriodMaxMs: 31 * day,
  /** Failures in a row before a breaker opens; and how long it may be open. */
  breakerFailures: 1_000,
  breakerPauseMinMs: 100,
  breakerPauseMaxMs: hour,
  /** Of one delivery. Half a day is a batch job; longer work answers 202 and reports back. */
  timeoutMs: 12 * hour,
  asyncTimeoutMs: 7 * day,
  listPage: 1_000,

  /** Secrets of a workspace: all of them are read where one is used. */
  secrets: 1_000,
  /** What is shorter is no secret, and could not be told from other text where it must not be shown. */
  secretMinLength: 8,
  /** The headers of a delivery have 8 KiB together. */
  secretLength: 4 * KiB,
  /** Older signing keys of one owner that sign along: each makes the signature's header longer by 70 bytes. */
  signingKeys: 4,
  /** A rotated key goes on for this long at most. */
  overlapMs: 30 * day,
  /** A key is trusted for this long without asking the database: a revoked one works no longer than that. */
  keyTrustedMs: 5 * second,
  /** A login lasts a working day; whoever is still there logs in again. */
  sessionMs: 12 * hour,
  /** Of a Cookie header what is read: other things on this host may have set cookies of their own. */
  cookieLength: 8 * KiB,
  /**
   * Logins tried with a wrong key, from one address and in all, on one node. A key has 256 random bits, so this is not what
   * keeps it from being guessed; it keeps guessing from costing anything.
   */
  logins: { attempts: 10, spanMs: minute },
  loginsOfAll: { attempts: 300, spanMs: minute },
  loginsRemembered: 10_000,
  /** Jobs that one step of a deletion takes with all that belongs to them. */
  deletedTogether: 1_000,

  /** A whole request, and its head, from the first byte to the last: who sends slower holds a socket for nothing. */
  requestMs: minute,
  requestHeadMs: 10 * second,
  /** How often sockets are looked at for that: a limit may be passed by so much. */
  requestLookMs: 2 * second,
  /** A connection that nothing is asked on. */
  keepAliveMs: 30 * second,
  /** Of a request's head: what Node and most proxies take. */
  requestHeadBytes: 16 * KiB,
  requestHeaders: 100,
  /** Open at one time, streams and long polls among them; more are dropped, so that some are left for Postgres and deliveries. */
  sockets: 10_000,

  // --- what is kept --------------------------------------------------------------------------------------------------
  /** Of a callback's answer; the rest is cut. Enough for a result, too little for a page of HTML. */
  callbackOutputBytes: 64 * KiB,
  /** Of a run. */
  runOutputBytes: MiB,
  stepOutputBytes: 4 * MiB,
  /** Whatever its app says. An SDK stops earlier, at what its function asks for. */
  stepsPerRun: 10_000,
  /** Earlier attempts that are kept of a step, the newest: with a thousand retries the first ones say what the next ones do. */
  stepFailures: 20,
  /** Characters of JSON of each; of a larger error its stack and causes are left out. A page of stack and causes fits. */
  stepFailureLength: 16_384,
  /** Reports of one run in one checkpoint or answer: what one statement writes in some milliseconds. */
  reports: 1_000,
  /** Shown with a failure; stacks of generated code are endless. */
  errorMessageLength: 8 * KiB,
  errorStackLength: 16 * KiB,

  /** Of an attempt's heads and timing: what explains a failure, for less than a row's page each. */
  detailHeaders: 50,
  detailValueLength: 200,
  detailBytes: 8 * KiB,

  /** Of finished jobs: whoever awaits a result holds a request for up to a minute, and must find the job after it. */
  retentionMinMs: minute,
  retentionMaxMs: 3_650 * day,
  /** The shortest that the rest may be kept. */
  leastKeptMs: {
    /** A node that lost the reply to a settle finds its log row again. */
    attempt: hour,
    /** Of events, and of jobs with a client's id, whatever their queue says: what is sent again within a day is known. */
    id: day,
    audit: day,
  },
  /** Revoked and expired API keys are shown for this long. */
  endedKeyMs: 30 * day,
  /** A key that no job has had for this long is forgotten, but for one with a limit of its own. */
  unusedKeyMs: 7 * day,
  /** Rows that one step of the pruner looks at, and may delete, in one transaction: some ten milliseconds. */
  pruned: 500,
  /** Failed jobs that one statement looks at for a filter: some tens of milliseconds. */
  failuresLooked: 5_000,
  /** One request about many jobs or runs looks this long for more, then it answers with what it has and a cursor. */
  bulkMs: 10 * second,
  /** Runs that one statement looks at for a filter. */
  runsLooked: 2_000,
  /** Jobs that one statement of a list looks at: some tens of milliseconds. */
  listLooked: 5_000,
  /** Things that share an id or a name, as a search tells them. */
  found: 20,
  /** Payloads, outputs and data of a brief list are left out where they have more. */
  briefBytes: 2 * KiB,
  /** Ids that a brief stream tells of a quarter of a second; of more it says that there were more, and pages ask for what they show. */
  briefIds: 1_000,
  /** A page of a list goes on looking for this long; then it is as it is, and its cursor goes on. */
  listMs: 50,

  /** Children and children's children that one request cancels; asked again, it goes on. Some seconds' work. */
  descendants: 10_000,

  // --- deliveries ----------------------------------------------------------------------------------------------------
  /** Deliveries in hand on one node. A delivery costs a socket and some kilobytes while it lasts. */
  inFlight: 1_000,
  /** Of these, those of one workspace: whatever one does, a fifth is left for the others. */
  inFlightPerWorkspace: 800,
  /** Jobs of one queue taken by one claim, so that a deep queue does not hold up the others. */
  claim: 200,
  /** Between two claims of a busy node, at least: long enough to batch, too short to be felt. */
  claimGapMs: 1,
  /** The same where claims take long: a slow database is not made slower by looking at it more often. */
  claimGapMaxMs: 20,
  /** A look that took longer may have passed dead versions of rows, which somebody's open transaction keeps: see `store/floors.ts`. */
  slowLookMs: 10,
  /** It has if so many are left: on a small machine 10,000 of them take some four milliseconds. With fewer, the machine is just busy. */
  slowLookDeadRows: 20_000,
  /** For so long at least, and at most, looks begin at what that one found: a job with a head start may have to wait for it. */
  floorsMinMs: 100,
  floorsMaxMs: 5_000,
  /** So often at least they are read from the beginning: what was given an old due time by a change waits no longer than that. */
  floorsWholeMs: 60_000,
  /** Queues visited by one look. */
  queuesPerLook: 1_000,
  /** A URL to deliver to, as written and as sent. Common proxies refuse more. */
  urlLength: 2_048,
  /** A queue's or a job's own headers, and their bytes; with Rotor's they fit what common servers accept for all. */
  headers: 50,
  headersBytes: 8 * KiB,
  /** Of a workflow delivery's request body: what proxies commonly allow. */
  deliveryBytes: MiB,
  /** Results of runs in the bodies of all deliveries in hand on one node; a body and its request hold them some times. */
  historiesBytes: 16 * MiB,
  /** Of one run where that is used up: its app fetches the rest by pages. */
  historyLeastBytes: 8 * KiB,
  /** Steps that one reply tells of, to all of its runs together. With the largest result it is below what proxies allow. */
  replyBytes: 3 * MiB,
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

  // --- checks of code against stored runs ----------------------------------------------------------------------------
  /** Runs of one function that are asked about, unless the caller says otherwise, and at most. */
  checkRuns: 100,
  checkRunsMax: 1_000,
  /** At one time: the app runs for its users meanwhile. */
  checkConcurrency: 8,
  /** All of it. Who asks holds a request meanwhile; what is left then is not checked. */
  checkMs: minute,
  /** Runs of a function among which the sample is taken: some tens of milliseconds. */
  checkLooked: 5_000,
  /** Runs that are named in the answer; the others are counted. */
  checkNamed: 1_000,

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
  /** Stored events that a wait looks at together, as it looks back over them: what it holds in memory. */
  lookBack: 200,
  /** Waits under one key that are counted to find the rarest: past these a key is as common as any. */
  crowd: 100,
  /** Things that one wait waits for: each is a row, written and deleted with it. */
  parts: 20,
  /** A part's name; with run and step it is the default id of its signal. */
  partNameLength: 64,
  /** An event whose `ts` is ahead by less is not delayed: the sender's clock is only a little fast. */
  clockSkewMs: second,
  /** A signal that is kept for whoever will wait for it, and a link that completes one. */
  signalKeptMs: 366 * day,
  /** What a link to a signal gives, as JSON: the link must fit into what mail programs and proxies take. */
  linkDataLength: 500,

  // --- the inbox -----------------------------------------------------------------------------------------------------
  /** How often a node without rows to move looks for some: one look at the first entry of an index, 7 times a second. */
  inboxPollMs: 150,
  /** Rows moved by one commit, and what they may weigh in this process's memory. */
  inboxRows: 1_000,
  inboxBytes: 4 * MiB,
  /** Of a row's payload, by a constraint of its table, too. */
  inboxPayloadBytes: MiB,

  // --- webhooks ------------------------------------------------------------------------------------------------------
  /** Of a workspace: each thing that happens is written once for each that wants it. */
  webhooks: 20,
  /** Deliveries to one webhook at a time, the time of each, and its attempts: about two hours, as of any queue. */
  webhookConcurrency: 10,
  webhookTimeoutMs: 15 * second,
  webhookAttempts: 10,
  /** How long a node takes it for granted that it knows which types any webhook wants. */
  webhooksKeptMs: second,
  /** Of an error's message in an event: the whole of it is with the job. */
  lifecycleMessageLength: KiB,
  /** Between two looks for what is wrong: an alert may come this much later. A look takes at most a twentieth of the time. */
  watchMs: 2 * second,
  /** A queue whose oldest due job has waited this long is late. */
  queueLateMs: 5 * minute,
  /** A schedule whose tick is overdue by this much has missed it. */
  scheduleMissedMs: minute,
  /** Of a queue's deliveries of so many minutes past: with at least so many, half of them failed, it is failing. */
  failingMs: 5 * minute,
  failingDeliveries: 10,
  /** The same queue's trouble is told again after this long. */
  queueErrorMs: hour,
  /** Jobs that are blocked, or wait for a person, and that one look goes through; of more, every queue may have some. */
  watchJobs: 10_000,

  // --- what people look at -------------------------------------------------------------------------------------------
  /** How deliveries went is kept by the minute for as long as the longest chart, and an hour. */
  talliesMs: 25 * hour,
  /** Index entries that one look at a workspace's counts walks along, over all of its queues: some tens of milliseconds. */
  statsCounted: 20_000,
  /** Of one queue at least, of each count. Above it a figure is an estimate. */
  statsCountedLeast: 100,
  /** Queues and functions that are told of. */
  statsQueues: 500,
  /** Counts beyond their bound that are estimated, the others are told as the bound: each asks the planner once. */
  statsEstimates: 20,
  /** A look is shared by all who ask soon after, and takes at most a twentieth of the time. */
  statsKeptMs: 2 * second,

  // --- schedules -----------------------------------------------------------------------------------------------------
  /** Fires shown with a schedule: enough to see whether the expression means what was meant. */
  shownFires: 5,
  /** Missed ticks that a schedule with `catch_up: "all"` makes up for: four days of an hourly one. More is a flood. */
  catchUp: 100,
  /** A tick of a schedule with `catch_up: "none"` may come this late: a restart or the loss of a node takes less. */
  tickGraceMs: minute,
  /** Missed ticks are counted up to here at once; of one every second, longer outages cost more than the figure is worth. */
  missedCounted: 1_000,
  /** Schedules that one transaction ticks. */
  ticks: 100,
  /** Payloads that one transaction of ticks enqueues: what a node holds in memory meanwhile. */
  tickBytes: 8 * MiB,

  // --- connections ---------------------------------------------------------------------------------------------------
  connections: 6,
  /** Besides, for the hot path: few writers share their commits, and more backends than cores only wait for each other. */
  hotConnections: 6,
  /**
   * One that nobody needed for so long is closed. A new one has to plan each statement first, 20 ms of CPU for a claim alone, which
   * somebody waits for: with ten seconds, `pg`'s default, 200 jobs a second opened one every few seconds.
   */
  idleConnectionMs: 5 * minute,
  /** After so long of silence the system asks whether the other side is there: networks forget a quiet connection after some minutes. */
  idleProbeMs: 30 * second,
  connectTimeoutMs: 10 * second,
  statementTimeoutMs: 30 * second,
  /** Our own locks are held for milliseconds; who waits this long waits for a stranger. */
  lockTimeoutMs: 5 * second,
  /** Items that one writer takes into a transaction. */
  writeBatch: 500,
  /** Jobs whose bodies and results, of a few megabytes each, are read into memory for their callers at once. */
  readTogether: 25,
  /** Events that one writer takes: each may start and resume a thousand runs. */
  eventBatch: 100,
} as const;
