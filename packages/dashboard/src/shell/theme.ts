/** Dark or light: as the machine says, until the reader says otherwise. */
import { useSyncExternalStore } from "react";

export type Theme = "dark" | "light";

const KEY = "rotor-theme";
const machine = window.matchMedia("(prefers-color-scheme: light)");
const watchers = new Set<() => void>();

function chosen(): Theme | undefined {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "dark" || kept === "light" ? kept : undefined;
  } catch {
    // A browser that keeps nothing: the machine's choice stands.
    return undefined;
  }
}

const current = (): Theme => chosen() ?? (machine.matches ? "light" : "dark");

function apply(): void {
  document.documentElement.dataset.theme = current();
  for (const tell of watchers) tell();
}

/** Puts the theme on the page, and follows the machine. Called once, before anything is drawn. */
export function startTheme(): void {
  apply();
  machine.addEventListener("change", apply);
}

export function toggleTheme(): void {
  try {
    localStorage.setItem(KEY, current() === "dark" ? "light" : "dark");
  } catch {
    // See above.
  }
  apply();
}

export const useTheme = (): Theme =>
  useSyncExternalStore((tell) => {
    watchers.add(tell);
    return () => watchers.delete(tell);
  }, current);
