/** The frame of a page: where it stands, what it is called, what can be done; and sections in it. */
import { Link, type LinkProps } from "@tanstack/react-router";
import { type ReactNode, useEffect, useId } from "react";
import styles from "./page.module.css";

export type Crumb = { readonly label: string; readonly link: LinkProps };

type PageProps = {
  /** Also the title of the window. */
  readonly title: string;
  /** Shown in place of the title's text, with badges and the like beside it. */
  readonly heading?: ReactNode;
  readonly crumbs?: readonly Crumb[];
  readonly actions?: ReactNode;
  /** Left out while it is being read. */
  readonly children?: ReactNode;
};

export function Page({ title, heading, crumbs = [], actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Rotor`;
  }, [title]);
  return (
    <div className={styles.page}>
      <header className={styles.head}>
        <div className={styles.titles}>
          {crumbs.length > 0 && (
            <nav aria-label="Where this is" className={styles.crumbs}>
              {crumbs.map(({ label, link }) => (
                <span key={label} className="cut">
                  <Link {...link} className="link">
                    {label}
                  </Link>
                  <span aria-hidden="true"> / </span>
                </span>
              ))}
            </nav>
          )}
          {heading ?? <h1 className="cut">{title}</h1>}
        </div>
        {actions !== undefined && <div className={styles.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}

type SectionProps = { readonly title: string; readonly actions?: ReactNode; readonly children: ReactNode };

export function Section({ title, actions, children }: SectionProps) {
  const id = useId();
  return (
    <section className={styles.section} aria-labelledby={id}>
      <div className={styles.sectionHead}>
        <h2 id={id}>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** A bordered surface. */
export function Card({ children }: { readonly children: ReactNode }) {
  return <div className={styles.card}>{children}</div>;
}

/** Names with their values, in as many columns as there is room: `Fact`s. */
export const Facts = ({ children }: { readonly children: ReactNode }) => <dl className={styles.facts}>{children}</dl>;

type FactProps = { readonly name: string; readonly children: ReactNode };

/** A name with its value; left out where there is no value. */
export function Fact({ name, children }: FactProps) {
  if (children === undefined || children === null || children === false) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
