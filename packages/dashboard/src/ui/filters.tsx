/** The bar of filters above a list. It holds no state: what is chosen stands in the address, so that it can be shared. */
import { Search, X } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { useShortcuts } from "../shell/shortcuts.js";
import { Button } from "./button.js";
import styles from "./filters.module.css";

type BarProps = {
  readonly children: ReactNode;
  /** Given where anything is chosen: takes all of it away. */
  readonly onClear?: (() => void) | undefined;
};

export function Filters({ children, onClear }: BarProps) {
  return (
    <search className={styles.bar}>
      {children}
      {onClear && (
        <Button kind="quiet" icon={<X />} onClick={onClear}>
          Clear
        </Button>
      )}
    </search>
  );
}

type TextProps = {
  readonly label: string;
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
  readonly placeholder?: string;
  /** `/` goes there. One a page. */
  readonly isSearch?: boolean;
};

/** Written on Enter, on leaving, or when nothing was typed for a moment. */
const SETTLE_MS = 400;

export function TextFilter({ label, value = "", onChange, placeholder = label, isSearch = false }: TextProps) {
  const [text, setText] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(value), [value]);
  const settle = (): void => {
    const next = text.trim();
    if (next !== value) onChange(next === "" ? undefined : next);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: it waits for the typing alone.
  useEffect(() => {
    const timer = setTimeout(settle, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  useShortcuts(isSearch ? { "/": () => input.current?.focus() } : {});
  return (
    <label className={styles.field}>
      <span className="unseen">{label}</span>
      {isSearch && <Search aria-hidden="true" />}
      <input
        ref={input}
        type="text"
        spellCheck={false}
        autoComplete="off"
        className={isSearch ? styles.search : ""}
        placeholder={placeholder}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onBlur={settle}
        onKeyDown={(event) => {
          if (event.key === "Enter") settle();
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      {isSearch && <kbd title="Press / to come here">/</kbd>}
    </label>
  );
}

export type Choice = { readonly value: string; readonly label: string };

type ChoiceProps = {
  readonly label: string;
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
  /** In groups where that helps. */
  readonly choices: readonly Choice[] | Readonly<Record<string, readonly Choice[]>>;
  /** What stands there where nothing is chosen. */
  readonly any: string;
};

/** The browser's own list of choices: on a phone it is the phone's. */
export function ChoiceFilter({ label, value = "", onChange, choices, any }: ChoiceProps) {
  const option = (choice: Choice) => (
    <option key={choice.value} value={choice.value}>
      {choice.label}
    </option>
  );
  return (
    <label className={`${styles.field} ${styles.choice} ${value === "" ? "" : styles.chosen}`}>
      <span className="unseen">{label}</span>
      <select value={value} onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.value)}>
        <option value="">{any}</option>
        {Array.isArray(choices)
          ? choices.map(option)
          : Object.entries(choices as Record<string, readonly Choice[]>).map(([name, group]) => (
              <optgroup key={name} label={name}>
                {group.map(option)}
              </optgroup>
            ))}
      </select>
    </label>
  );
}
