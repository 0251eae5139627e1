/** The keys that do something, told on `?`. */
import { Dialog } from "../ui/dialog.js";
import styles from "./shell.module.css";

const KEYS: readonly (readonly [key: string, what: string])[] = [
  ["/", "Filter the list"],
  ["f", "Find by id or name"],
  ["j", "Next row, or next step"],
  ["k", "The one before"],
  ["Enter", "Open it"],
  ["Esc", "Close what is open"],
  ["?", "This list"],
];

type Props = { readonly isOpen: boolean; readonly onClose: () => void };

export const ShortcutHelp = ({ isOpen, onClose }: Props) => (
  <Dialog title="Keys" isOpen={isOpen} onClose={onClose}>
    <dl className={styles.keys}>
      {KEYS.map(([key, what]) => (
        <div key={key}>
          <dt>
            <kbd>{key}</kbd>
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  </Dialog>
);
