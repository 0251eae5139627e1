/** A button with a list of things to do. */
import { Menu as Base } from "@base-ui/react/menu";
import type { ReactNode } from "react";
import { buttonClass } from "./button.js";
import styles from "./menu.module.css";

export type MenuEntry = {
  readonly label: string;
  readonly icon?: ReactNode;
  readonly onSelect: () => void;
  readonly isDangerous?: boolean;
};

type Props = {
  readonly label: string;
  readonly icon: ReactNode;
  /** Shown beside the icon; without it the label is read out only. */
  readonly text?: string;
  readonly kind?: "plain" | "quiet";
  readonly entries: readonly MenuEntry[];
};

export function Menu({ label, icon, text, kind = "plain", entries }: Props) {
  return (
    <Base.Root>
      <Base.Trigger className={buttonClass(kind, text === undefined)} aria-label={label} title={label}>
        {icon}
        {text}
      </Base.Trigger>
      <Base.Portal>
        <Base.Positioner sideOffset={6} align="end" className={styles.positioner}>
          <Base.Popup className={styles.popup}>
            {entries.map((entry) => (
              <Base.Item
                key={entry.label}
                className={`${styles.item} ${entry.isDangerous ? styles.danger : ""}`}
                onClick={entry.onSelect}
              >
                {entry.icon}
                {entry.label}
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
