/** Keys that do something anywhere on a page. Nobody's typing is taken for one. */
import { useEffect, useRef } from "react";

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || target.matches("input, textarea, select, [role=menuitem], [role=dialog] *"));

/** Calls what belongs to a pressed key, as `KeyboardEvent.key` names it. Focused links and buttons keep their Enter. */
export function useShortcuts(actions: Readonly<Record<string, () => void>>): void {
  const current = useRef(actions);
  current.current = actions;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const action = current.current[event.key];
      if (action === undefined || event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
      if (isTyping(event.target)) return;
      if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.matches("a, button")) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}
