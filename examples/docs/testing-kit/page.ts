/**
 * Reads a page of `docs/` as something that can be carried out: its blocks of code, and what stands beside them in comments,
 * which a reader does not see. How each is carried out is in `walk.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export type Part = {
  /** Of its first line, from 1. */
  readonly line: number;
} & (
  | {
      readonly kind: "code";
      readonly language: string;
      readonly text: string;
      /** The comment right before it, such as `file: app.mjs`; empty where there is none. */
      readonly mark: string;
    }
  /** A comment that belongs to no block: something to do there. */
  | { readonly kind: "note"; readonly text: string }
);

export const root = new URL("../../../", import.meta.url);

export const readText = (path: string): string => readFileSync(new URL(path, root), "utf8");

/** A fenced block with the comment on the line before it, or a comment by itself. */
const PART =
  /^(?:<!-- (?<mark>[^\n]*?) -->\n)?```(?<language>\w+)\n(?<code>[\s\S]*?)^```$|^<!-- (?<note>[\s\S]*?) -->$/gm;

/** The parts of a page, in their order. */
export function partsOf(page: string): Part[] {
  return [...page.matchAll(PART)].map((match) => {
    const line = page.slice(0, match.index).split("\n").length;
    const { mark = "", language, code, note } = match.groups!;
    if (note !== undefined) return { line, kind: "note", text: note.trim() };
    return { line, kind: "code", language: language!, text: code!, mark };
  });
}

/** How many blocks of code a page has: none may be overlooked by `partsOf`. */
export const fencesOf = (page: string): number => page.split("\n").filter((line) => line.startsWith("```")).length / 2;

/** The rows of the table below a `table:` comment, its head first, as their cells. */
export function tableOf(page: string, name: string): string[][] {
  const [, table] = new RegExp(`<!-- table: ${name} -->\\n\\n((?:\\|.*\\n)+)`).exec(page) ?? [];
  if (table === undefined) throw new Error(`There is no table ${name}.`);
  const rows = table
    .trim()
    .split("\n")
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );
  return rows.filter((_, index) => index !== 1);
}

/** The anchor that a heading gets. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

/** Links of a page to files, or headings of files, that are not there. */
export function brokenLinks(path: string): string[] {
  const links = [...readText(path).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
  return links.flatMap(([link, file = "", anchor]) => {
    const target = file === "" ? path : join(dirname(path), file);
    if (!existsSync(new URL(target, root))) return [`${path}: ${link}`];
    if (anchor === undefined) return [];
    const headings = [...readText(target).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
    return headings.includes(anchor) ? [] : [`${path}: ${link}`];
  });
}
