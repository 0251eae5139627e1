/** Short words that something was done, or could not be. Read out; gone after some seconds. */
import { Toast } from "@base-ui/react/toast";
import { X } from "lucide-react";
import { buttonClass } from "./button.js";
import { messageOf } from "./error-notice.js";
import styles from "./toasts.module.css";

const manager = Toast.createToastManager();

/** Says that something was done. */
export const tell = (title: string): void => {
  manager.add({ title, timeout: 4_000 });
};

/** Says why something could not be done. Stays longer. */
export const tellError = (error: unknown): void => {
  manager.add({
    title: "That did not work",
    description: messageOf(error),
    type: "error",
    priority: "high",
    timeout: 12_000,
  });
};

export function Toasts() {
  return (
    <Toast.Provider toastManager={manager} limit={4}>
      <Toast.Portal>
        <Toast.Viewport className={styles.viewport}>
          <List />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function List() {
  const { toasts } = Toast.useToastManager();
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
