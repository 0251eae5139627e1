/** Buttons. `kind` says how loud; an icon alone needs a `label`. */
import { Button as Base } from "@base-ui/react/button";
import type { ComponentProps, ReactNode } from "react";
import styles from "./button.module.css";

type Kind = "plain" | "primary" | "danger" | "quiet";

type Props = Omit<ComponentProps<typeof Base>, "className"> & {
  readonly kind?: Kind;
  readonly icon?: ReactNode;
  /** Read out, and shown on hover; needed where there is no text. */
  readonly label?: string;
  /** Its work is under way: it cannot be pressed again. */
  readonly isBusy?: boolean;
};

export const buttonClass = (kind: Kind = "plain", isIcon = false): string =>
  [styles.button, styles[kind], isIcon ? styles.icon : ""].join(" ");

export function Button({ kind = "plain", icon, label, isBusy = false, children, disabled, ...rest }: Props) {
  return (
    <Base
      {...rest}
      className={buttonClass(kind, children === undefined)}
      aria-label={label}
      title={label}
      aria-busy={isBusy || undefined}
      disabled={disabled || isBusy}
    >
      {isBusy ? <span className={styles.spinner} aria-hidden="true" /> : icon}
      {children !== undefined && <span className="cut">{children}</span>}
    </Base>
  );
}
