/** Dialogs: one that asks before something is done, and the frame for forms. */
import { Dialog as Base } from "@base-ui/react/dialog";
import { type ReactNode, useState } from "react";
import { Button } from "./button.js";
import styles from "./dialog.module.css";
import { messageOf } from "./error-notice.js";

type FrameProps = {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly children: ReactNode;
};

/** A dialog with a title. What it holds begins anew each time it opens. */
export function Dialog({ title, isOpen, onClose, children }: FrameProps) {
  return (
    <Base.Root open={isOpen} onOpenChange={(open) => !open && onClose()}>
      <Base.Portal>
        <Base.Backdrop className={styles.backdrop} />
        <Base.Popup className={styles.popup}>
          <Base.Title className={styles.title}>{title}</Base.Title>
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

/** The row of buttons that ends a dialog. */
export const DialogActions = ({ children }: { readonly children: ReactNode }) => (
  <div className={styles.actions}>{children}</div>
);

type ConfirmProps = {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  /** What will happen. */
  readonly children?: ReactNode;
  /** Of the button that does it. */
  readonly verb: string;
  readonly isDangerous?: boolean;
  /** The dialog closes when it resolves, and shows why when it does not. */
  readonly onConfirm: () => Promise<unknown>;
};

export function ConfirmDialog({ title, isOpen, onClose, children, verb, isDangerous, onConfirm }: ConfirmProps) {
  return (
    <Dialog title={title} isOpen={isOpen} onClose={onClose}>
      <Confirm {...{ onClose, children, verb, isDangerous, onConfirm }} />
    </Dialog>
  );
}

function Confirm({ onClose, children, verb, isDangerous, onConfirm }: Omit<ConfirmProps, "title" | "isOpen">) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const submit = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await onConfirm();
      onClose();
    } catch (reason) {
      setError(reason);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      action={() => {
        void submit();
      }}
      className={styles.form}
    >
      {children}
      {error !== undefined && (
        <p role="alert" className={styles.error}>
          {messageOf(error)}
        </p>
      )}
      <DialogActions>
        <Button onClick={onClose}>Not now</Button>
        <Button type="submit" kind={isDangerous ? "danger" : "primary"} isBusy={isBusy}>
          {verb}
        </Button>
      </DialogActions>
    </form>
  );
}

type FieldProps = { readonly label: string; readonly hint?: string; readonly children: ReactNode };

/** A labelled input of a form. */
export function Field({ label, hint, children }: FieldProps) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is handed in.
    <label className={styles.field}>
      <span>{label}</span>
      {children}
      {hint !== undefined && <small>{hint}</small>}
    </label>
  );
}
