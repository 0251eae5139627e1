/**
 * Pages about workflows, run as they stand: their functions are served by an app to a real server, whose clock is in the
 * test's hand. A page's blocks that export something define its functions; the others are done one by one, when the page's
 * test says so. `exit: 1` right before a command says with what it ends. What a page does not show, its reader's own code,
 * is `../app/app.ts`.
 */
import { nodeHandler, type Rotor, type RotorFunction, type WorkflowHandler, workflowHandler } from "@rotorsh/sdk";
import { type Duration, parseDuration } from "@rotorsh/sdk/duration";
import { expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../../../packages/server/src/testing-kit/server.js";
import { type Call, callsSince } from "../app/calls.js";
import { difference, fits } from "./compare.js";
import { runModule } from "./module.js";
import { fencesOf, type Part, partsOf, readText } from "./page.js";
import { commandsOf, perform } from "./shell.js";

/** One server and one app, for the pages of a test file, one page at a time. */
export type Stage = {
  readonly rotor: Rotor;
  readonly server: TestServer;
  /** Reads a page and serves the functions that it exports, in place of those of the page before. */
  open(path: string): Promise<OpenPage>;
  /** Serves these in place of those that are served, and registers them unless told not to. */
  serve(functions: readonly RotorFunction[], registers?: boolean): Promise<void>;
  /** The clock of the database, in Unix milliseconds. */
  now(): number;
  /** Moves the clock on, and lets the server look at once. */
  pass(duration: Duration): Promise<void>;
  close(): Promise<void>;
};

export type OpenPage = {
  /** As it is written. */
  readonly text: string;
  /** What the page's blocks export, by name. */
  readonly exports: Readonly<Record<string, unknown>>;
  /**
   * Does the next block that exports nothing; answers what it printed. `<name>` in it is what is given, and so is a module
   * that it imports.
   */
  next(names?: Readonly<Record<string, string>>, modules?: Readonly<Record<string, object>>): Promise<string>;
  /** The newest run of a function, once its state or reason is one of these. */
  run(fn: string, ...wanted: string[]): Promise<string>;
  /** What the newest run of a function returns. */
  result(fn: string): Promise<unknown>;
  /** What the page's own code was asked to do since the last look. */
  calls(): Call[];
  /** Ends the page: every block has been done, and every function has had a run. */
  close(): Promise<void>;
};

type Code = Part & { readonly kind: "code" };

/** These stand for themselves: `text` and `json` are what the block before printed, a `part` only shows a piece of another. */
const isShown = ({ language, mark }: Code): boolean => ["text", "json"].includes(language) || mark === "part";

const isFunction = (value: unknown): value is RotorFunction =>
  typeof value === "object" && value !== null && "config" in value && "handler" in value;

/** Tests of pages on one stage: `page("run", …)` walks `docs/workflows/run.md`, which must be done to its end. */
export function pagesOn(stage: () => Stage) {
  return (name: string, walk: (page: OpenPage, stage: Stage) => Promise<void>): void =>
    test(name, async () => {
      const page = await stage().open(`docs/workflows/${name}.md`);
      await walk(page, stage());
      await page.close();
    });
}

export async function openStage(): Promise<Stage> {
  const server = await testServer();
  const { rotor } = server;
  let handler: WorkflowHandler = workflowHandler({ functions: [], dev: true });
  let served: readonly RotorFunction[] = [];
  let shiftedMs = 0;
  const url = `${await server.serve(nodeHandler((request, env) => handler(request, env)))}/api/rotor`;
  const env = { ROTOR_BASE_URL: server.baseUrl, ROTOR_DEV: "1" };
  Object.assign(process.env, env);

  const serve = async (functions: readonly RotorFunction[], registers = true): Promise<void> => {
    served = functions;
    handler = workflowHandler({ functions, dev: true });
    if (registers) await rotor.functions.sync({ url, move: true });
  };

  const pass = async (duration: Duration): Promise<void> => {
    const ms = parseDuration(duration);
    shiftedMs += ms;
    // The node's lease moves along: to the node no time has passed, and it drops nothing that it holds. The table is locked,
    // so that a renewal that waits is planned with the new clock.
    await server.db.script(
      `begin;
       lock table rotor.nodes in access exclusive mode;
       create or replace function rotor.clock() returns timestamptz language sql stable parallel safe
         as 'select clock_timestamp() + interval ''${shiftedMs} milliseconds''';
       update rotor.nodes set lease_until = lease_until + interval '${ms} milliseconds';
       commit`,
    );
    for (const { id } of served) await rotor.functions.resume(id);
  };

  async function open(path: string): Promise<OpenPage> {
    const page = readText(path);
    const codes = partsOf(page).filter((part) => part.kind === "code");
    expect(codes.length, `${path}: blocks`).toBe(fencesOf(page));
    const exported: Record<string, unknown> = {};
    const files: Record<string, object> = {};
    const steps: { code: Code; shown: Code | undefined }[] = [];
    for (const [index, code] of codes.entries()) {
      if (isShown(code)) continue;
      if (code.language === "ts" && /^export /m.test(code.text)) {
        const { exports } = await runModule(code.text, files);
        Object.assign(exported, exports);
        const [, file] = /^file: ([\w-]+)\.ts$/.exec(code.mark) ?? [];
        if (file !== undefined) files[`./${file}.js`] = exports;
        continue;
      }
      const after = codes[index + 1];
      steps.push({ code, shown: after && isShown(after) && after.mark !== "part" ? after : undefined });
    }
    const functions = Object.values(exported).filter(isFunction);
    await serve(functions);
    callsSince();
    let done = 0;

    /** Functions that have had a run: it may be pruned when the page ends. */
    const ran = new Set<string>();
    const newest = async (fn: string) => {
      const [found] = (await rotor.runs.list({ function: fn, limit: 1 }).page()).data;
      if (found !== undefined) ran.add(fn);
      return found;
    };

    const run = (fn: string, ...wanted: string[]): Promise<string> =>
      eventually(`${path}: ${fn} to be ${wanted.join(" or ")}`, async () => {
        const found = await newest(fn);
        if (found === undefined) return undefined;
        return wanted.length === 0 || wanted.includes(found.state) || wanted.includes(found.reason ?? "")
          ? found.id
          : undefined;
      });

    return {
      text: page,
      exports: exported,
      run,
      result: async (fn) => rotor.runs.result(await run(fn), { timeout: "20s" }),
      calls: callsSince,
      async next(names = {}, modules = {}) {
        const step = steps[done++];
        if (step === undefined) throw new Error(`${path} has no further block`);
        const { code, shown } = step;
        const text = code.text
          .replaceAll("http://127.0.0.1:7686", server.baseUrl)
          .replaceAll("http://127.0.0.1:3000/api/rotor", url)
          .replaceAll(/<(\w+)>/g, (whole, name: string) => names[name] ?? whole);
        try {
          const printed = await carriedOut(code, text, { ...files, ...modules });
          if (shown !== undefined) compare(shown, printed);
          return printed;
        } catch (error) {
          throw new Error(`${path}:${code.line}: ${(error as Error).message}`, { cause: error });
        }
      },
      async close() {
        expect(
          steps.slice(done).map(({ code }) => `${path}:${code.line}`),
          "blocks that were not done",
        ).toEqual([]);
        for (const { id } of functions)
          expect(ran.has(id) || (await newest(id)) !== undefined, `${path}: a run of ${id}`).toBe(true);
      },
    };
  }

  async function carriedOut(
    { language, mark }: Code,
    text: string,
    modules: Readonly<Record<string, object>>,
  ): Promise<string> {
    if (language === "ts") return (await runModule(text, modules)).printed;
    if (language !== "sh") throw new Error(`nothing is known of ${language}`);
    const [, code = "0"] = /^exit: (\d)$/.exec(mark) ?? [];
    let printed = "";
    for (const command of commandsOf(text)) printed = await perform(command, env, Number(code));
    return printed;
  }

  return { rotor, server, open, serve, now: () => Date.now() + shiftedMs, pass, close: () => server.close() };
}

function compare({ language, text, mark }: Code, printed: string): void {
  if (language === "json") {
    const found = difference(JSON.parse(text), JSON.parse(printed), mark !== "part");
    if (found !== undefined) throw new Error(`${found} is not as shown:\n${printed}`);
  } else if (!fits(text, printed)) throw new Error(`It is not as shown:\n${printed}`);
}
