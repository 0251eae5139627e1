/** Where one can go. */
import { Link, type LinkProps } from "@tanstack/react-router";
import {
  Braces,
  CalendarClock,
  CircleCheckBig,
  Gauge,
  Inbox,
  KeyRound,
  Layers,
  ListTree,
  Lock,
  type LucideIcon,
  RadioTower,
  ScrollText,
  SquareStack,
  Webhook,
} from "lucide-react";
import styles from "./shell.module.css";

type Item = {
  readonly label: string;
  readonly to: LinkProps["to"];
  readonly icon: LucideIcon;
  readonly isExact?: boolean;
};

const GROUPS: readonly { readonly label: string; readonly items: readonly Item[] }[] = [
  {
    label: "Work",
    items: [
      { label: "Overview", to: "/", icon: Gauge, isExact: true },
      { label: "Runs", to: "/runs", icon: ListTree },
      { label: "Jobs", to: "/jobs", icon: SquareStack },
      { label: "Dead letters", to: "/dead-letters", icon: Inbox },
      { label: "Approvals", to: "/approvals", icon: CircleCheckBig },
    ],
  },
  {
    label: "Definitions",
    items: [
      { label: "Queues", to: "/queues", icon: Layers },
      { label: "Functions", to: "/functions", icon: Braces },
      { label: "Schedules", to: "/schedules", icon: CalendarClock },
      { label: "Events", to: "/events", icon: RadioTower },
    ],
  },
  {
    label: "Workspace",
    items: [
      { label: "Webhooks", to: "/webhooks", icon: Webhook },
      { label: "Keys", to: "/keys", icon: KeyRound },
      { label: "Secrets", to: "/secrets", icon: Lock },
      { label: "Audit", to: "/audit", icon: ScrollText },
    ],
  },
];

export function Nav({ onGo }: { readonly onGo?: () => void }) {
  return (
    <nav aria-label="Pages" className={styles.nav}>
      {GROUPS.map(({ label, items }) => (
        <div key={label} className={styles.group}>
          <h2>{label}</h2>
          <ul>
            {items.map(({ label: name, to, icon: Icon, isExact = false }) => (
              <li key={name}>
                <Link
                  to={to}
                  className={styles.item}
                  activeOptions={{ exact: isExact, includeSearch: false }}
                  {...(onGo && { onClick: onGo })}
                >
                  <Icon aria-hidden="true" />
                  {name}
                </Link>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}
