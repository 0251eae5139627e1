/** Names to choose from in filters. Kept apart from the lists of their pages, of which more is known. */
import { useQuery } from "@tanstack/react-query";
import type { Choice } from "../ui/filters.js";
import { rotor } from "./client.js";

/** Nobody chooses from more. */
const MOST = 500;

const choicesOf = (names: readonly string[]): readonly Choice[] => names.map((name) => ({ value: name, label: name }));

/** Names of callback queues. */
export function useQueueChoices(): readonly Choice[] {
  const { data = [] } = useQuery({
    queryKey: ["queues", "names"],
    queryFn: async ({ signal }) => {
      const { data: queues } = await rotor.queues.list({ limit: MOST, signal }).page();
      return choicesOf(queues.filter(({ kind }) => kind === "callback").map(({ name }) => name));
    },
  });
  return data;
}

/** Ids of functions. */
export function useFunctionChoices(): readonly Choice[] {
  const { data = [] } = useQuery({
    queryKey: ["functions", "ids"],
    queryFn: async ({ signal }) => {
      const { data: functions } = await rotor.functions.list({ limit: MOST, signal }).page();
      return choicesOf(functions.map(({ id }) => id));
    },
  });
  return data;
}
