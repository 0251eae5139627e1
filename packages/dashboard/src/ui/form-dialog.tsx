/** A dialog with a form in it: it closes when what it asked for is done, and shows why when it is not. */
import { type ReactNode, useState } from "react";
import { Button } from "./button.js";
import { CopyButton } from "./copy.js";
import { Dialog, DialogActions } from "./dialog.js";
import styles from "./dialog.module.css";
import { messageOf } from "./error-notice.js";

type Props = {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  /** Of the button that does it. */
  readonly verb: string;
  readonly children: ReactNode;
  /** @throws whatever is then shown. */
  readonly onSubmit: (form: FormData) => Promise<unknown>;
};

export function FormDialog({ title, isOpen, onClose, ...form }: Props) {
  return (
    <Dialog title={title} isOpen={isOpen} onClose={onClose}>
      <Form onClose={onClose} {...form} />
    </Dialog>
  );
}

function Form({ onClose, verb, children, onSubmit }: Omit<Props, "title" | "isOpen">) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const submit = async (form: FormData): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await onSubmit(form);
      onClose();
    } catch (reason) {
      setError(reason);
    } finally {
      setBusy(false);
    }
  };
  return (
    // Not React's `action`: that empties the form, also where it was refused.
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        void submit(new FormData(event.currentTarget));
      }}
    >
      {children}
      {error !== undefined && (
        <p role="alert" className={styles.error}>
          {messageOf(error)}
        </p>
      )}
      <DialogActions>
        <Button onClick={onClose}>Not now</Button>
        <Button type="submit" kind="primary" isBusy={isBusy}>
          {verb}
        </Button>
      </DialogActions>
    </form>
  );
}

/** A text of a form; undefined where nothing was written. */
export function written(form: FormData, name: string): string | undefined {
  const text = String(form.get(name) ?? "").trim();
  return text === "" ? undefined : text;
}

/**
 * JSON of a form; undefined where nothing was written.
 * @throws Error that says where it is none.
 */
export function writtenJson(form: FormData, name: string): unknown {
  const text = written(form, name);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${messageOf(error)}`);
  }
}

type OnceProps = {
  readonly title: string;
  /** Undefined: closed. */
  readonly secret: string | undefined;
  readonly onClose: () => void;
  readonly children?: ReactNode;
};

/** Shows what will never be shown again. */
export function OnceDialog({ title, secret, onClose, children }: OnceProps) {
  return (
    <Dialog title={title} isOpen={secret !== undefined} onClose={onClose}>
      <div className={styles.form}>
        <p>{children} It is shown this once: copy it now.</p>
        <div className={styles.once}>
          <code>{secret}</code>
          <CopyButton text={secret ?? ""} label="Copy it" />
        </div>
        <DialogActions>
          <Button kind="primary" onClick={onClose}>
            I have it
          </Button>
        </DialogActions>
      </div>
    </Dialog>
  );
}
