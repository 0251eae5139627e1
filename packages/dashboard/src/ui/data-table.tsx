/**
 * A table that stays smooth with 100,000 rows: only those in view are drawn. Rows can be links; `j` and `k` move through
 * them, `Enter` opens. Reaching the end asks for more.
 */

import { Link, type LinkProps, useRouter } from "@tanstack/react-router";
import { createColumnHelper, type RowData, tableFeatures, useTable } from "@tanstack/react-table";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useShortcuts } from "../shell/shortcuts.js";
import styles from "./data-table.module.css";

export type Column<Row> = {
  readonly id: string;
  readonly header: string;
  /** The header is read out only. */
  readonly isHeaderUnseen?: boolean;
  readonly cell: (row: Row) => ReactNode;
  /** A track of CSS grid: `1fr` shares what is left (default), `120px` is fixed, `minmax(90px, 0.5fr)`. */
  readonly width?: string;
  readonly align?: "right";
  /** Left out where the screen is narrow. */
  readonly isWideOnly?: boolean;
};

type Props<Row> = {
  /** Read out: what is listed. */
  readonly label: string;
  /** The same array as long as the columns are the same: outside of the component, or memoised. */
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row) => string;
  readonly rowLink?: (row: Row) => LinkProps;
  /** Place of the column whose cell holds the row's link (default 0). */
  readonly linkColumn?: number;
  /** Called when the end comes into view; undefined: there is no more. */
  readonly onEnd?: (() => void) | undefined;
  /** More rows are under way. */
  readonly isLoading?: boolean;
  /** Shown in place of rows where there are none, and none are under way. */
  readonly empty: ReactNode;
};

const features = tableFeatures({});
const ROW_PX = 38;
const NARROW_ROW_PX = 44;
const narrow = window.matchMedia("(max-width: 720px)");

/** How many grey rows stand for those that come first. */
const GHOSTS = 8;

export function DataTable<Row extends RowData>(props: Props<Row>) {
  const { label, columns, rows, rowKey, rowLink, linkColumn = 0, onEnd, isLoading = false, empty } = props;
  const definitions = useMemo(() => {
    const helper = createColumnHelper<typeof features, Row>();
    return helper.columns(
      columns.map(({ id, header, cell }) => helper.display({ id, header, cell: ({ row }) => cell(row.original) })),
    );
  }, [columns]);
  const table = useTable({ features, columns: definitions, data: rows as Row[], getRowId: rowKey });
  const model = table.getRowModel().rows;

  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const above = box.current === null ? 0 : box.current.getBoundingClientRect().top + window.scrollY;
    setTop((before) => (Math.abs(before - above) > 1 ? above : before));
  });
  const rowPx = narrow.matches ? NARROW_ROW_PX : ROW_PX;
  const virtual = useWindowVirtualizer({
    count: model.length,
    estimateSize: () => rowPx,
    overscan: 12,
    scrollMargin: top,
    getItemKey: (index) => model[index]!.id,
  });
  const items = virtual.getVirtualItems();

  const last = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (onEnd !== undefined && !isLoading && last >= model.length - 10) onEnd();
  }, [onEnd, isLoading, last, model.length]);

  const active = useActiveRow(model.length, virtual.scrollToIndex, (index) =>
    rowLink === undefined ? undefined : rowLink(model[index]!.original),
  );

  const tracks = columns.map(({ width = "minmax(0, 1fr)" }) => width).join(" ");
  const narrowTracks = columns
    .filter((column) => !column.isWideOnly)
    .map(({ width = "minmax(0, 1fr)" }) => width)
    .join(" ");
  const style = { "--tracks": tracks, "--narrow-tracks": narrowTracks } as React.CSSProperties;
  const cellClass = (index: number): string => {
    const { align, isWideOnly } = columns[index]!;
    return [styles.cell, align === "right" ? styles.right : "", isWideOnly ? "wide-only" : ""].join(" ");
  };

  if (rows.length === 0 && !isLoading) return <>{empty}</>;
  return (
    <>
      {/* Roles and no <table>: rows lie where the window has scrolled to, which a table's rows cannot. */}
      <div
        role="table"
        aria-label={label}
        aria-rowcount={onEnd === undefined ? rows.length + 1 : -1}
        className={styles.table}
        style={style}
      >
        <div role="rowgroup" className={styles.head}>
          {table.getHeaderGroups().map((group) => (
            <div role="row" key={group.id} className={styles.row} aria-rowindex={1}>
              {group.headers.map((header, index) => (
                <div role="columnheader" key={header.id} className={cellClass(index)}>
                  <span className={columns[index]!.isHeaderUnseen ? "unseen" : ""}>
                    <table.FlexRender header={header} />
                  </span>
                </div>
              ))}
            </div>
          ))}
        </div>
        <div role="rowgroup" ref={box} className={styles.body} style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const row = model[item.index]!;
            const link = rowLink?.(row.original);
            return (
              <div
                role="row"
                key={row.id}
                aria-rowindex={item.index + 2}
                className={`${styles.row} ${styles.placed} ${link ? styles.open : ""} ${active === item.index ? styles.active : ""}`}
                style={{ height: rowPx, transform: `translateY(${item.start - top}px)` }}
              >
                {row.getAllCells().map((cell, index) => (
                  <div role="cell" key={cell.id} className={cellClass(index)}>
                    {index === linkColumn && link !== undefined ? (
                      <Link {...link} className={styles.link}>
                        <table.FlexRender cell={cell} />
                      </Link>
                    ) : (
                      <table.FlexRender cell={cell} />
                    )}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
      {isLoading && rows.length === 0 && <Ghosts />}
      <div className="unseen" role="status">
        {isLoading ? "Loading" : ""}
      </div>
    </>
  );
}

function Ghosts() {
  return (
    <div aria-hidden="true">
      {Array.from({ length: GHOSTS }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike.
        <div key={index} className={styles.ghost} />
      ))}
    </div>
  );
}

/** `j` and `k` move, `Enter` opens. Answers which row is the one. */
function useActiveRow(
  count: number,
  show: (index: number) => void,
  linkOf: (index: number) => LinkProps | undefined,
): number {
  const router = useRouter();
  const [active, setActive] = useState(-1);
  const move = (by: number) => {
    const next = Math.min(count - 1, Math.max(0, active + by));
    setActive(next);
    if (count > 0) show(next);
  };
  const open = () => {
    const link = active < 0 || active >= count ? undefined : linkOf(active);
    if (link !== undefined) void router.navigate(link as never);
  };
  useShortcuts({ j: () => move(1), k: () => move(-1), Enter: open });
  return active;
}
