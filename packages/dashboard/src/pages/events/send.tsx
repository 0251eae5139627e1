/** Sends an event by hand, and goes to its page: what it started stands there. */
import { useNavigate } from "@tanstack/react-router";
import { useTouch } from "../../api/action.js";
import { rotor } from "../../api/client.js";
import { Field } from "../../ui/dialog.js";
import { FormDialog, written, writtenJson } from "../../ui/form-dialog.js";
import { tell } from "../../ui/toasts.js";

type Props = {
  readonly isOpen: boolean;
  readonly onClose: () => void;
  /** Written there already. */
  readonly name?: string | undefined;
  readonly data?: unknown;
};

export function SendDialog({ isOpen, onClose, name = "", data = {} }: Props) {
  const navigate = useNavigate();
  const touch = useTouch();
  return (
    <FormDialog
      title="Send an event"
      verb="Send it"
      isOpen={isOpen}
      onClose={onClose}
      onSubmit={async (form) => {
        const id = written(form, "id");
        const sent = await rotor.send({
          name: written(form, "name")!,
          data: writtenJson(form, "data") ?? null,
          ...(id === undefined ? {} : { id }),
        });
        if (sent.warning !== undefined) tell(sent.warning);
        await touch("events", "runs", "stats");
        await navigate({ to: "/events/$eventId", params: { eventId: sent.id } });
      }}
    >
      <Field label="Name">
        <input
          name="name"
          required
          maxLength={128}
          spellCheck={false}
          defaultValue={name}
          placeholder="contact.created"
        />
      </Field>
      <Field label="Data" hint="JSON.">
        <textarea name="data" spellCheck={false} defaultValue={JSON.stringify(data, null, 2)} />
      </Field>
      <Field label="Id" hint="Of two events with one id the second does nothing. Empty: a new one.">
        <input name="id" spellCheck={false} />
      </Field>
    </FormDialog>
  );
}
