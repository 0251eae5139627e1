/**
 * Runs one statement in a transaction of a library that is recognized by its shape; none of them is imported. Roots and
 * pools, which would run it outside of a transaction, are refused by type where they differ, and by shape in any case.
 */

import type { InboxStatement } from "./inbox.js";
import { RotorInputError } from "./input-error.js";

/** `pg`'s client; TypeORM's `EntityManager` and `QueryRunner`, and PGlite's transaction, look alike. */
type QueryTransaction = {
  query(text: string, values: unknown[]): PromiseLike<unknown>;
  /** `pg.Pool` has it. */
  readonly totalCount?: never;
};
/** `tx` of Drizzle's `db.transaction`. */
type DrizzleTransaction = { execute(query: string): PromiseLike<unknown>; rollback(): never };
/** `trx` of Kysely's `db.transaction().execute`. */
type KyselyTransaction = { readonly isTransaction: true; executeQuery(query: never): PromiseLike<unknown> };
/** `trx` of Knex's `knex.transaction`. */
type KnexTransaction = { raw(sql: string, bindings: readonly string[]): PromiseLike<unknown>; isCompleted(): boolean };
/** `tx` of Prisma's `prisma.$transaction(async (tx) => …)`. */
type PrismaTransaction = {
  $executeRawUnsafe(text: string, ...values: unknown[]): PromiseLike<unknown>;
  readonly $transaction?: never;
};
/** `sql` of postgres.js' `sql.begin(async (sql) => …)`. */
type PostgresTransaction = {
  unsafe(text: string, values?: never[]): PromiseLike<unknown>;
  savepoint: unknown;
};

/** A transaction of one of the known libraries. */
export type InboxTransaction =
  | QueryTransaction
  | DrizzleTransaction
  | KyselyTransaction
  | KnexTransaction
  | PrismaTransaction
  | PostgresTransaction;

/** What may be there. */
type Shape = {
  readonly [Name in
    | "query"
    | "connect"
    | "totalCount"
    | "execute"
    | "rollback"
    | "executeQuery"
    | "isTransaction"
    | "raw"
    | "$executeRawUnsafe"
    | "$transaction"
    | "unsafe"
    | "savepoint"
    | "begin"]?: unknown;
};

/** How one library is asked. `isRoot`: it is this library, but not its transaction. */
type Dialect = {
  readonly is: (tx: Shape) => boolean;
  readonly isRoot: (tx: Shape) => boolean;
  /** How its transaction is come by. */
  readonly hint: string;
  readonly run: (tx: Shape, statement: InboxStatement) => PromiseLike<unknown>;
};

const isFunction = (value: unknown): boolean => typeof value === "function";

/** The one that knows a shape first has it: what looks most like others comes last. */
const DIALECTS: readonly Dialect[] = [
  {
    is: (tx) => isFunction(tx.$executeRawUnsafe),
    isRoot: (tx) => isFunction(tx.$transaction),
    hint: "pass tx of prisma.$transaction(async (tx) => …)",
    run: (tx, { text, values }) => (tx as PrismaTransaction).$executeRawUnsafe(text, ...values),
  },
  {
    is: (tx) => isFunction(tx.executeQuery),
    isRoot: (tx) => tx.isTransaction !== true,
    hint: "pass trx of db.transaction().execute(async (trx) => …)",
    run: (tx, statement) => (tx as KyselyTransaction).executeQuery(compiledForKysely(statement)),
  },
  {
    is: (tx) => isFunction(tx) && isFunction(tx.raw),
    isRoot: (tx) => tx.isTransaction !== true,
    hint: "pass trx of knex.transaction(async (trx) => …)",
    run: (tx, { text, values }) => (tx as KnexTransaction).raw(text.replace("$1", "?"), values),
  },
  {
    is: (tx) => isFunction(tx) && isFunction(tx.unsafe),
    isRoot: (tx) => !isFunction(tx.savepoint),
    hint: "pass sql of sql.begin(async (sql) => …)",
    run: (tx, { text, values }) => (tx as PostgresTransaction).unsafe(text, [...values] as never[]),
  },
  {
    is: (tx) => isFunction(tx.execute) && !isFunction(tx.query),
    isRoot: (tx) => !isFunction(tx.rollback),
    hint: "pass tx of db.transaction(async (tx) => …)",
    run: (tx, statement) => (tx as DrizzleTransaction).execute(builtForDrizzle(statement)),
  },
  {
    is: (tx) => isFunction(tx.query),
    isRoot: (tx) => tx.totalCount !== undefined,
    hint: "pass the client of pool.connect() on which you began the transaction",
    run: (tx, { text, values }) => (tx as QueryTransaction).query(text, [...values]),
  },
];

/** @throws RotorInputError for a pool, a root object, or something of no library that is known. */
export async function runIn(tx: InboxTransaction, statement: InboxStatement): Promise<void> {
  const shape = (typeof tx === "object" || typeof tx === "function") && tx !== null ? (tx as Shape) : {};
  const dialect = DIALECTS.find((each) => each.is(shape));
  if (dialect === undefined) {
    throw new RotorInputError(
      "this is no transaction of pg, Drizzle, Kysely, Knex, Prisma, postgres.js or TypeORM; with another library, run what enqueueStatement or sendStatement answers",
    );
  }
  if (dialect.isRoot(shape)) {
    throw new RotorInputError(`this would run outside of your transaction: ${dialect.hint}`);
  }
  await dialect.run(shape, statement);
}

/** What Kysely's `CompiledQuery.raw(text, values)` makes. */
const compiledForKysely = ({ text, values }: InboxStatement): never =>
  ({
    sql: text,
    parameters: values,
    query: { kind: "RawNode", sqlFragments: [text], parameters: [] },
    queryId: { queryId: "rotor-inbox" },
  }) as never;

/** An `SQLWrapper` of Drizzle, which asks it for the text and the parameters. As a string there would be no parameters. */
function builtForDrizzle({ text, values }: InboxStatement): string {
  const built = { getSQL: () => built, toQuery: () => ({ sql: text, params: [...values] }) };
  return built as unknown as string;
}
