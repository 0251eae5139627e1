/** The pages, where the screen is narrow: slid in from the side. Loaded when it is first opened. */
import { Dialog } from "@base-ui/react/dialog";
import type { ReactNode } from "react";
import styles from "./shell.module.css";

type Props = { readonly onClose: () => void; readonly children: ReactNode };

export const Drawer = ({ onClose, children }: Props) => (
  <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
    <Dialog.Portal>
      <Dialog.Backdrop className={styles.backdrop} />
      <Dialog.Popup className={styles.drawer} aria-label="Pages">
        {children}
      </Dialog.Popup>
    </Dialog.Portal>
  </Dialog.Root>
);
