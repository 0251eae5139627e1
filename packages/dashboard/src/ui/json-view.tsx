/** A JSON value as a tree that opens and closes. What is very large is shown as text, cut; copying gives all of it. */
import { JsonView as Tree, type Props as TreeProps } from "react-json-view-lite";
import { CopyButton } from "./copy.js";
import styles from "./json-view.module.css";

type Props = {
  /** Read out: what it is. */
  readonly label: string;
  readonly value: unknown;
};

/** Longer values are shown as their text: a tree of them would take the browser seconds. */
const TREE_CHARACTERS = 200_000;
/** Of a text; the rest is left out of the view. */
const SHOWN_CHARACTERS = 20_000;
/** A long string in a tree. */
const OPEN_LEVELS = 3;

const style: NonNullable<TreeProps["style"]> = {
  container: styles.tree!,
  basicChildStyle: styles.child!,
  childFieldsContainer: styles.children!,
  label: styles.name!,
  clickableLabel: styles.name!,
  nullValue: styles.nothing!,
  undefinedValue: styles.nothing!,
  numberValue: styles.number!,
  stringValue: styles.string!,
  booleanValue: styles.number!,
  otherValue: styles.string!,
  punctuation: styles.mark!,
  expandIcon: styles.closed!,
  collapseIcon: styles.opened!,
  collapsedContent: styles.hidden!,
  quotesForFieldNames: false,
  noQuotesForStringValues: false,
  stringifyStringValues: true,
  ariaLables: { collapseJson: "Close", expandJson: "Open" },
};

const textOf = (value: unknown): string =>
  typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "undefined");

export function JsonView({ label, value }: Props) {
  if (value === undefined || value === null) return <p className="faint">{value === null ? "null" : "Nothing"}</p>;
  const text = textOf(value);
  const isTree = typeof value === "object" && text.length <= TREE_CHARACTERS;
  return (
    <div className={styles.box}>
      <div className={styles.copy}>
        <CopyButton text={text} label={`Copy ${label}`} />
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for inputs. */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys. */}
      <div className={styles.scroll} role="group" aria-label={label} tabIndex={0}>
        {isTree ? (
          <Tree
            data={value}
            style={style}
            shouldExpandNode={(level, node) => level < OPEN_LEVELS && !(Array.isArray(node) && node.length > 100)}
            clickToExpandNode
            aria-label={label}
          />
        ) : (
          <pre className={styles.text}>
            {text.slice(0, SHOWN_CHARACTERS)}
            {text.length > SHOWN_CHARACTERS &&
              `\n… ${(text.length - SHOWN_CHARACTERS).toLocaleString()} more characters: copy it to see all`}
          </pre>
        )}
      </div>
    </div>
  );
}

/** Plain text in the same box: a stack, a command. */
export function TextView({ label, text }: { readonly label: string; readonly text: string }) {
  return <JsonView label={label} value={text} />;
}
