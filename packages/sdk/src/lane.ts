/**
 * The lane of checkpoints: what all runs of this process report to one URL shares a POST, one POST at a time. The next
 * leaves when it returns, so an idle lane sends at once and a busy one batches. What a reply means for a run is `replay.ts`.
 */

import type { CheckpointPost } from "./checkpoint.js";
import { postCheckpoint } from "./checkpoint.js";
import type { CheckpointReply, Report, WireError } from "./protocol.js";
import { PROTOCOL_VERSION } from "./protocol.js";
import { turn } from "./turn.js";

/** A report with its JSON, written once. */
export type Outgoing = { readonly report: Report; readonly text: string; readonly bytes: number };

export type ReplyOfRun = CheckpointReply["runs"][number];

/** One delivery as its lane knows it. */
export type Passenger = {
  readonly token: string;
  /** The highest `seq` that the run has been told of. */
  readonly knownSeq: () => number;
  /** Any verdict but `retry`; `invalid` comes with at most one report. `sent` is empty for a sign of life. */
  readonly replied: (reply: ReplyOfRun, sent: readonly Outgoing[]) => void;
  /** These were not acknowledged, and this lane will not try for a minute. Whether they arrived is unknown. */
  readonly unreachable: (unsent: readonly Outgoing[]) => void;
};

export type Seat = {
  /** Whether a reply is still owed. */
  readonly busy: boolean;
  readonly report: (reports: readonly Outgoing[]) => void;
  /** Sends an empty checkpoint: the reply tells what has ended since. */
  readonly ask: () => void;
  /** The delivery is over: nothing more is sent or told. */
  readonly leave: () => void;
};

export type Lane = {
  /** Whether the URL could not be reached less than a minute ago. */
  readonly down: boolean;
  readonly join: (passenger: Passenger) => Seat;
};

export type LaneSettings = {
  readonly post: CheckpointPost;
  /** Between two signs of life of a delivery. */
  readonly beatMs: number;
  /** How long a URL that did not answer is left alone. */
  readonly downMs: number;
  /** The first pause after "not recorded, send again"; it doubles up to `MAX_PAUSE_MS`. */
  readonly pauseMs: number;
};

const DEFAULTS: LaneSettings = { post: postCheckpoint, beatMs: 5_000, downMs: 60_000, pauseMs: 250 };

/** A POST is kept below the server's 4 MB; one result alone may come close to it. */
const MAX_BYTES = 3_000_000;
const MAX_REPORTS = 1_000;
const MAX_PAUSE_MS = 4_000;
/** Of answers 5xx and 429 in a row; the pauses before the last add up to about 8 s. */
const MAX_REFUSALS = 5;

const encoder = new TextEncoder();

export function outgoing(report: Report): Outgoing {
  const text = JSON.stringify(report);
  return { report, text, bytes: encoder.encode(text).length };
}

type SeatState = {
  readonly passenger: Passenger;
  queue: Outgoing[];
  asking: boolean;
  inFlight: boolean;
  left: boolean;
  /** After `invalid` for several reports: one at a time, to find the one that is meant. */
  single: boolean;
  /** More has ended than a reply for several runs holds: it is asked in a POST of its own. */
  alone: boolean;
  refusals: number;
  notBeforeMs: number;
};

type Entry = { readonly seat: SeatState; readonly sent: readonly Outgoing[] };

const now = () => performance.now();

function bodyOf(entries: readonly Entry[]): string {
  const runs = entries.map(({ seat, sent }) => {
    const { token, knownSeq } = seat.passenger;
    const reports = sent.map(({ text }) => text).join(",");
    return `{"token":${JSON.stringify(token)},"reports":[${reports}],"known_seq":${knownSeq()}}`;
  });
  return `{"version":${PROTOCOL_VERSION},"runs":[${runs.join(",")}]}`;
}

export function createLane(url: string, settings: Partial<LaneSettings> = {}): Lane {
  const { post, beatMs, downMs, pauseMs } = { ...DEFAULTS, ...settings };
  const seats = new Set<SeatState>();
  let moving = false;
  let downUntilMs = 0;
  let beat: ReturnType<typeof setTimeout> | undefined;

  const isDown = () => now() < downUntilMs;

  const move = async (): Promise<void> => {
    if (moving) return;
    moving = true;
    for (;;) {
      // What ends in the same turn of the event loop travels together.
      await turn();
      const entries = take();
      if (entries.length === 0) break;
      await exchange(entries);
    }
    moving = false;
  };

  const take = (): Entry[] => {
    const entries: Entry[] = [];
    let room = { reports: MAX_REPORTS, bytes: MAX_BYTES };
    for (const seat of [...seats]) {
      if (seat.notBeforeMs > now() || (seat.queue.length === 0 && !seat.asking)) continue;
      if (entries.length === MAX_REPORTS) break;
      if (seat.alone && entries.length > 0) continue;
      let count = 0;
      for (const { bytes } of seat.queue) {
        const fits = room.reports > 0 && (bytes <= room.bytes || (count === 0 && entries.length === 0));
        if (!fits || (seat.single && count === 1)) break;
        room = { reports: room.reports - 1, bytes: room.bytes - bytes };
        count += 1;
      }
      if (count === 0 && seat.queue.length > 0) break;
      entries.push({ seat, sent: seat.queue.splice(0, count) });
      seat.asking = false;
      seat.inFlight = true;
      // Behind those that have not had their turn.
      seats.delete(seat);
      seats.add(seat);
      if (seat.alone) break;
    }
    return entries;
  };

  const exchange = async (entries: readonly Entry[]): Promise<void> => {
    for (const { seat } of entries) seat.inFlight = true;
    const result = await post(url, bodyOf(entries));
    for (const { seat } of entries) seat.inFlight = false;
    if (result.kind === "refused" && entries.every(({ seat }) => seat.refusals < MAX_REFUSALS)) {
      for (const entry of entries) sendAgain(entry);
    } else if (result.kind === "reply" && result.reply.runs.length === entries.length) {
      for (const [index, entry] of entries.entries()) deliver(entry, result.reply.runs[index]!);
    } else if (result.kind === "rejected" && entries.some(({ sent }) => sent.length > 0)) {
      await isolate(entries, result.error);
    } else {
      giveUp(entries);
    }
  };

  /** Somebody's reports are not taken: halves are sent by themselves, until the culprit stands alone. */
  const isolate = async (entries: readonly Entry[], error: WireError): Promise<void> => {
    const middle = entries.length >> 1;
    if (middle === 0) {
      deliver(entries[0]!, { verdict: "invalid", steps: [], error });
      return;
    }
    for (const { seat } of entries) seat.inFlight = true;
    await exchange(entries.slice(0, middle));
    await exchange(entries.slice(middle));
  };

  const deliver = (entry: Entry, reply: ReplyOfRun): void => {
    const { seat, sent } = entry;
    if (seat.left) return;
    if (reply.verdict === "retry") {
      sendAgain(entry);
      return;
    }
    seat.refusals = 0;
    if (reply.verdict === "invalid" && sent.length > 1) {
      seat.queue.unshift(...sent);
      seat.single = true;
      return;
    }
    if (seat.queue.length === 0) seat.single = false;
    seat.alone = reply.more === true;
    seat.asking ||= seat.alone;
    seat.passenger.replied(reply, sent);
  };

  const sendAgain = ({ seat, sent }: Entry): void => {
    if (seat.left) return;
    seat.queue.unshift(...sent);
    if (seat.queue.length === 0) seat.asking = true;
    const pause = Math.min(MAX_PAUSE_MS, pauseMs * 2 ** seat.refusals);
    seat.refusals += 1;
    seat.notBeforeMs = now() + pause;
    setTimeout(() => {
      seat.notBeforeMs = 0;
      void move();
    }, pause);
  };

  const giveUp = (entries: readonly Entry[]): void => {
    downUntilMs = now() + downMs;
    const unsent = new Map(entries.map(({ seat, sent }) => [seat, sent]));
    for (const seat of [...seats]) {
      if (seat.left || (!unsent.has(seat) && seat.queue.length === 0 && !seat.asking)) continue;
      const reports = [...(unsent.get(seat) ?? []), ...seat.queue];
      Object.assign(seat, { queue: [], asking: false, refusals: 0 });
      seat.passenger.unreachable(reports);
    }
  };

  const scheduleBeat = (): void => {
    clearTimeout(beat);
    beat = seats.size === 0 ? undefined : setTimeout(beatAll, beatMs);
  };

  const beatAll = (): void => {
    scheduleBeat();
    if (isDown()) return;
    for (const seat of seats) seat.asking ||= !seat.inFlight;
    void move();
  };

  const join = (passenger: Passenger): Seat => {
    const seat: SeatState = {
      passenger,
      queue: [],
      asking: false,
      inFlight: false,
      left: false,
      single: false,
      alone: false,
      refusals: 0,
      notBeforeMs: 0,
    };
    seats.add(seat);
    if (beat === undefined) scheduleBeat();
    const send = (reports: readonly Outgoing[], asking: boolean): void => {
      if (seat.left) return;
      if (isDown()) {
        passenger.unreachable(reports);
        return;
      }
      seat.queue.push(...reports);
      seat.asking ||= asking;
      void move();
    };
    return {
      get busy() {
        return seat.queue.length > 0 || seat.asking || seat.inFlight;
      },
      report: (reports) => send(reports, false),
      ask: () => send([], true),
      leave: () => {
        seat.left = true;
        seat.queue = [];
        seats.delete(seat);
        if (seats.size === 0) scheduleBeat();
      },
    };
  };

  return {
    get down() {
      return isDown();
    },
    join,
  };
}

/** The lanes of this process. An app speaks with one server, at times two, so none is ever taken down. */
const lanes = new Map<string, Lane>();

/** The one lane of this process to that URL. */
export function laneTo(url: string): Lane {
  const known = lanes.get(url);
  if (known) return known;
  const lane = createLane(url);
  lanes.set(url, lane);
  return lane;
}
