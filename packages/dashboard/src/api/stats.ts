/** How the workspace stands: one answer for the overview, the lists of queues and functions, and their pages. */
import type { QueueStats, Stats, StatsWindow } from "@rotorsh/sdk";
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { rotor } from "./client.js";
import { keys } from "./keys.js";

/** The server looks anew every two seconds, however many ask. */
const EVERY_MS = 2_500;

export const WINDOWS = ["1h", "6h", "24h"] as const satisfies readonly StatsWindow[];

export const statsQuery = (window: StatsWindow = "1h") =>
  queryOptions({
    queryKey: keys.stats(window),
    queryFn: ({ signal }) => rotor.stats({ window, signal }),
    refetchInterval: EVERY_MS,
    placeholderData: keepPreviousData,
  });

export const useStats = (window: StatsWindow = "1h"): Stats | undefined => useQuery(statsQuery(window)).data;

/** The figures of the queues, or functions, by their names. */
export function useQueueStats(kind: QueueStats["kind"]): ReadonlyMap<string, QueueStats> {
  const stats = useStats();
  return new Map((stats?.queues ?? []).filter((each) => each.kind === kind).map((each) => [each.name, each]));
}
