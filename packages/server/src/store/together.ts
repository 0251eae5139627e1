/**
 * Statements that need nothing of each other's answers, as one message to Postgres and one back: bound and executed one after the
 * other, with a single Sync behind them. Up to there they are one transaction (PostgreSQL's documentation, "Pipelining" in
 * "Message Flow"), so they need neither BEGIN nor COMMIT; and Postgres answers when it has come to the Sync, where after each of
 * them it would write, and wake us, once a statement. Docs: decision 30.
 */
import pg from "pg";

/** What a query of `pg` has beside what its types name; the version is pinned, and `db.test.ts` tells where that changes. */
type Inner = {
  name: string | undefined;
  text: string;
  callback?: (error: unknown, result?: unknown) => void;
  readonly _result: { readonly rows: unknown[] };
  /** What went wrong with a row, told at the end. */
  readonly _canceledDueToError: unknown;
  prepare(wire: Wire): void;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, wire: Wire): void;
};
type Bytes = { write(chunk: Uint8Array): boolean; readonly writable: boolean; cork(): void; uncork(): void };
type Wire = {
  stream: Bytes;
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly submittedNamedStatements: Record<string, string>;
  sync(): void;
};
const Query = pg.Query as unknown as new (config: pg.QueryConfig) => Inner;

/** As `pg` sees it one query, which is sent in one write and has ended when Postgres is ready for the next. */
class Together extends (Query as new (config: pg.QueryConfig) => Pick<Inner, "callback">) {
  readonly #parts: readonly Inner[];
  /** Whose answer comes now. */
  #at = 0;

  constructor(configs: readonly pg.QueryConfig[]) {
    super({ text: "" });
    this.#parts = configs.map((config) => new Query(config));
  }

  // By these `pg` notes that a connection knows a statement now.
  get name(): string | undefined {
    return this.#parts[this.#at]?.name;
  }
  set name(_: string | undefined) {}
  get text(): string {
    return this.#parts[this.#at]?.text ?? "";
  }
  set text(_: string) {}

  submit(wire: Wire): Error | null {
    const chunks: Uint8Array[] = [];
    const stream: Bytes = {
      writable: true,
      write: (chunk) => chunks.push(chunk) > 0,
      cork: () => undefined,
      uncork: () => undefined,
    };
    const own: Wire = Object.assign(Object.create(wire), { stream, sync: () => undefined });
    for (const part of this.#parts) {
      let wrong: unknown;
      part.callback = (error) => {
        wrong = error;
      };
      part.prepare(own);
      // A value that cannot be put into words: nothing has been sent.
      if (wrong !== undefined) {
        this.#forget(wire);
        return wrong as Error;
      }
    }
    wire.stream.cork();
    for (const chunk of chunks) wire.stream.write(chunk);
    wire.sync();
    wire.stream.uncork();
    return null;
  }

  handleRowDescription(message: unknown): void {
    this.#parts[this.#at]!.handleRowDescription(message);
  }
  handleDataRow(message: unknown): void {
    this.#parts[this.#at]!.handleDataRow(message);
  }
  handleCommandComplete(message: unknown, wire: Wire): void {
    this.#parts[this.#at]!.handleCommandComplete(message, wire);
    this.#at++;
  }
  handleError(error: unknown, wire: Wire): void {
    this.#forget(wire);
    this.callback?.(error);
  }
  handleReadyForQuery(): void {
    const wrong = this.#parts.find((part) => part._canceledDueToError);
    if (wrong !== undefined) this.callback?.(wrong._canceledDueToError);
    else
      this.callback?.(
        null,
        this.#parts.map((part) => part._result.rows),
      );
  }

  /** Postgres skips what stands behind an error: statements that it was to learn there, it has not. */
  #forget(wire: Wire): void {
    for (const { name } of this.#parts)
      if (name !== undefined && wire.parsedStatements[name] === undefined) delete wire.submittedNamedStatements[name];
  }
}

/** Runs the statements as one transaction, in one round trip. Answers the rows of each. */
export const sendTogether = (client: pg.ClientBase, configs: readonly pg.QueryConfig[]): Promise<unknown[][]> =>
  new Promise((resolve, reject) => {
    const query = new Together(configs);
    query.callback = (error, rows) => (error ? reject(error) : resolve(rows as unknown[][]));
    client.query(query as unknown as pg.Submittable);
  });
