/** The corner in which short words appear. Loaded with the first of them; `toasts.tsx` is how they are said. */
import { Toast } from "@base-ui/react/toast";
import { X } from "lucide-react";
import { useEffect } from "react";
import { buttonClass } from "./button.js";
import styles from "./toast-list.module.css";

export const manager = Toast.createToastManager();

/** @param onReady called once what is said will be seen. */
export function ToastList({ onReady }: { readonly onReady: () => void }) {
  return (
    <Toast.Provider toastManager={manager} limit={4}>
      <Toast.Portal>
        <Toast.Viewport className={styles.viewport}>
          <List onReady={onReady} />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function List({ onReady }: { readonly onReady: () => void }) {
  const { toasts } = Toast.useToastManager();
  // Effects of children come first: the provider listens a moment later.
  useEffect(() => {
    const timer = setTimeout(onReady);
    return () => clearTimeout(timer);
  }, [onReady]);
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      className={`${styles.toast} ${toast.type === "error" ? styles.error : ""}`}
    >
      <div className={styles.text}>
        <Toast.Title className={styles.title} />
        <Toast.Description className={styles.description} />
      </div>
      <Toast.Close className={buttonClass("quiet", true)} aria-label="Dismiss">
        <X />
      </Toast.Close>
    </Toast.Root>
  ));
}
