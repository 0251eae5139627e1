/** What a person changed is asked for at once; the stream tells all others. */
import { useQueryClient } from "@tanstack/react-query";
import { keys } from "../../api/keys.js";

export function useRunChanged(runId: string): () => Promise<void> {
  const cache = useQueryClient();
  return async () => {
    await Promise.all([
      cache.invalidateQueries({ queryKey: keys.run(runId) }),
      cache.invalidateQueries({ queryKey: keys.why(runId) }),
      cache.invalidateQueries({ queryKey: ["runs"] }),
    ]);
  };
}
