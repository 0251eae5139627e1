/**
 * Where an instant lies on the timeline, from 0 to 1. Either true to scale, or squeezed: a run is seconds of work around days of
 * waiting, and both must be seen, so each stretch between two instants at which something happens is as wide as the
 * logarithm of its length. Pure.
 */
export type Scale = (at: number) => number;

/** A stretch this short is as narrow as one of no length. */
const SHORT_MS = 40;

export function trueScale(from: number, to: number): Scale {
  const length = Math.max(1, to - from);
  return (at) => Math.min(1, Math.max(0, (at - from) / length));
}

/** @param instants when something happens, in any order; the first and the last are the ends. */
export function squeezedScale(instants: readonly number[]): Scale {
  const stops = [...new Set(instants)].sort((a, b) => a - b);
  if (stops.length < 2) return () => 0;
  const places = [0];
  for (let index = 1; index < stops.length; index++)
    places.push(places[index - 1]! + Math.log1p((stops[index]! - stops[index - 1]!) / SHORT_MS));
  const whole = places.at(-1)!;
  return (at) => {
    if (at <= stops[0]!) return 0;
    if (at >= stops.at(-1)!) return 1;
    let low = 0;
    let high = stops.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (stops[middle]! <= at) low = middle;
      else high = middle;
    }
    const share = (at - stops[low]!) / (stops[high]! - stops[low]!);
    return (places[low]! + share * (places[high]! - places[low]!)) / whole;
  };
}

/** Instants to write on the axis: some of those given, far enough from each other. */
export function ticksOf(instants: readonly number[], scale: Scale, apart: number): number[] {
  const ticks: number[] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const at of [...new Set(instants)].sort((a, b) => a - b)) {
    const place = scale(at);
    if (place - last < apart || place > 1 - apart / 2) continue;
    ticks.push(at);
    last = place;
  }
  return ticks;
}
