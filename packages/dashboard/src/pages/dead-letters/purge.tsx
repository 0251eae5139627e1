/** Removes dead letters for good, told first how many. */
import type { DeadLetterFilter } from "@rotorsh/sdk";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { rotor } from "../../api/client.js";
import { ConfirmDialog } from "../../ui/dialog.js";
import { messageOf } from "../../ui/error-notice.js";
import { tell } from "../../ui/toasts.js";
import { plural } from "../../ui/words.js";

type Props = {
  readonly selection: { readonly ids: readonly string[] } | { readonly filter: DeadLetterFilter };
  readonly what: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
};

export function PurgeDialog({ selection, what, onClose, onDone }: Props) {
  const cache = useQueryClient();
  const preview = useQuery({
    queryKey: ["dead-letters-purge", selection],
    queryFn: ({ signal }) => rotor.dlq.purge({ ...selection, dryRun: true }, { signal }),
    gcTime: 0,
  });
  const purge = async (): Promise<void> => {
    const { purged, kept } = await rotor.dlq.purge({ ...selection, confirm: true });
    tell(`${plural(purged, "dead letter")} removed${kept > 0 ? `; ${kept} stay for a day after their enqueue` : ""}`);
    onDone();
    await cache.invalidateQueries({ queryKey: ["dead-letters"] });
  };
  return (
    <ConfirmDialog
      title={`Remove ${what}`}
      isOpen
      onClose={onClose}
      verb="Remove for good"
      isDangerous
      onConfirm={purge}
    >
      <p>
        {preview.error
          ? messageOf(preview.error)
          : preview.data === undefined
            ? "Counting…"
            : `${plural(preview.data.purged, "dead letter")} will be gone, with payload and every attempt.${
                preview.data.kept > 0
                  ? ` ${plural(preview.data.kept, "other")} must stay for a day after their enqueue, since their id is remembered.`
                  : ""
              }`}
      </p>
    </ConfirmDialog>
  );
}
