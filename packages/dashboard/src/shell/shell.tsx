/** What stands around every page: where to go, whose workspace it is, whether the page is live, the keys. */
import { useQueryClient } from "@tanstack/react-query";
import { Outlet, useNavigate } from "@tanstack/react-router";
import { Keyboard, LogOut, Menu as MenuIcon, Moon, Search, Sun } from "lucide-react";
import { lazy, Suspense, useEffect, useState } from "react";
import { follow, useConnection } from "../api/live.js";
import { logOut, useSession } from "../api/session.js";
import { Button } from "../ui/button.js";
import { Notice } from "../ui/error-notice.js";
import { Toasts } from "../ui/toasts.js";
import findStyles from "./find.module.css";
import { Mark } from "./mark.js";
import { Nav } from "./nav.js";
import styles from "./shell.module.css";
import { useShortcuts } from "./shortcuts.js";
import { toggleTheme, useTheme } from "./theme.js";

const Drawer = lazy(async () => ({ default: (await import("./drawer.js")).Drawer }));
const Find = lazy(async () => ({ default: (await import("./find.js")).Find }));
const ShortcutHelp = lazy(async () => ({ default: (await import("./shortcut-help.js")).ShortcutHelp }));

export function Shell() {
  const session = useSession();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [isFindOpen, setFindOpen] = useState(false);
  const [isMenuOpen, setMenuOpen] = useState(false);
  useEffect(follow, []);
  useShortcuts({ "?": () => setHelpOpen(true), f: () => setFindOpen(true) });
  return (
    <div className={styles.shell}>
      <a href="#page" className={styles.skip}>
        To the page
      </a>
      <aside className={styles.side}>
        <Brand />
        <button type="button" className={findStyles.opener} onClick={() => setFindOpen(true)}>
          <Search aria-hidden="true" />
          Find <kbd title="Press f to come here">f</kbd>
        </button>
        <Nav />
        <Foot onHelp={() => setHelpOpen(true)} />
      </aside>
      <header className={styles.top}>
        <Button kind="quiet" label="Pages" icon={<MenuIcon />} onClick={() => setMenuOpen(true)} />
        <Brand />
        <span className={styles.rest} />
        <Button kind="quiet" label="Find" icon={<Search />} onClick={() => setFindOpen(true)} />
      </header>
      <main id="page" className={styles.main} tabIndex={-1}>
        {session.held && (
          <div className={styles.banner}>
            <Notice tone="red">
              Nothing is delivered: this database belongs to another environment than its server's.{" "}
              <code>rotor adopt --release</code> starts it.
            </Notice>
          </div>
        )}
        <Outlet />
      </main>
      <Suspense>
        {isMenuOpen && (
          <Drawer onClose={() => setMenuOpen(false)}>
            <Brand />
            <Nav onGo={() => setMenuOpen(false)} />
            <Foot />
          </Drawer>
        )}
        {isFindOpen && <Find onClose={() => setFindOpen(false)} />}
        {isHelpOpen && <ShortcutHelp isOpen onClose={() => setHelpOpen(false)} />}
      </Suspense>
      <Toasts />
    </div>
  );
}

function Brand() {
  const { workspace, environment } = useSession();
  return (
    <div className={styles.brand}>
      <Mark />
      <div className={styles.names}>
        <strong>Rotor</strong>
        <span className="cut">
          {workspace} · {environment}
        </span>
      </div>
    </div>
  );
}

const WORDS = { connecting: "Connecting", live: "Live", lost: "Connection lost" } as const;

function Foot({ onHelp }: { readonly onHelp?: () => void }) {
  const { via, name, version } = useSession();
  const theme = useTheme();
  const connection = useConnection();
  const navigate = useNavigate();
  const cache = useQueryClient();
  const leave = async (): Promise<void> => {
    await logOut();
    cache.clear();
    await navigate({ to: "/login" });
  };
  return (
    <div className={styles.foot}>
      <div className={styles.live} data-state={connection} role="status">
        <span aria-hidden="true" />
        {WORDS[connection]}
        <span className={styles.version}>{version}</span>
      </div>
      <div className="row">
        <span className={`${styles.who} cut`}>{name ?? (via === "local" ? "This machine" : "")}</span>
        {onHelp && <Button kind="quiet" label="Keys of the keyboard (?)" icon={<Keyboard />} onClick={onHelp} />}
        <Button
          kind="quiet"
          label={theme === "dark" ? "Light theme" : "Dark theme"}
          icon={theme === "dark" ? <Sun /> : <Moon />}
          onClick={toggleTheme}
        />
        {via === "session" && <Button kind="quiet" label="Log out" icon={<LogOut />} onClick={() => void leave()} />}
      </div>
    </div>
  );
}
