/** Figures side by side, each with its name and a word beside. One that leads somewhere is a link as a whole. */
import { Link, type LinkProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import styles from "./tile.module.css";

export const Tiles = ({ label, children }: { readonly label: string; readonly children: ReactNode }) => (
  <section aria-label={label} className={styles.tiles}>
    {children}
  </section>
);

type Props = {
  readonly name: string;
  readonly value: ReactNode;
  readonly note?: ReactNode;
  /** Colour says that somebody should look. */
  readonly tone?: "red" | "amber" | "violet" | undefined;
  readonly link?: LinkProps;
  /** The value is a word or two, not a figure. */
  readonly isSmall?: boolean;
};

export function Tile({ name, value, note, tone, link, isSmall = false }: Props) {
  const className = `${styles.tile} ${tone === undefined ? "" : styles[tone]}`;
  const inner = (
    <>
      <span className={styles.name}>{name}</span>
      <span className={`${styles.value} ${isSmall ? styles.small : ""} cut`}>{value}</span>
      <span className={`${styles.note} cut`}>{note}</span>
    </>
  );
  return link === undefined ? (
    <div className={className}>{inner}</div>
  ) : (
    <Link {...link} className={className}>
      {inner}
    </Link>
  );
}
