/**
 * One route: what it is called, who may call it, and the schemas that both check a request and describe it in `/doc`.
 * What a route does is in the file of its resource.
 */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { limits } from "../core/limits.js";
import { audit, type NewAuditEvent } from "../store/audit.js";
import type { Scope } from "../store/workspaces.js";
import type { Authenticator, Caller } from "./auth.js";
import { mayBeJson, parseJson, readBytes } from "./body.js";
import type { Engine } from "./engine.js";
import { notFound, Refusal, refusalOfSchema } from "./errors.js";
import type { PlainRoute } from "./plain-door.js";
import { headerOf } from "./request-headers.js";
import { isPlain } from "./schemas.js";

/** What every resource is given to hang its routes on. */
export type Api = {
  readonly app: OpenAPIHono;
  readonly engine: Engine;
  readonly auth: Authenticator;
  /** Routes that have a plain door besides. */
  readonly plain: PlainRoute[];
};

type Method = "get" | "post" | "put" | "patch" | "delete";

export type Spec<P, Q, B> = {
  readonly method: Method;
  /** With `{name}` for parameters. */
  readonly path: string;
  readonly summary: string;
  /** Group in the document. */
  readonly tag: string;
  /** It is asked for thousands of times a second: a POST without a query, which answers by `c.json` alone (`plain-door.ts`). */
  readonly plain?: true;
  /** What the audit calls it, such as `queue.update`; of every route that changes what is configured, or decides. */
  readonly audit?: string;
  readonly params?: z.ZodObject & z.ZodType<P>;
  readonly query?: z.ZodObject & z.ZodType<Q>;
  /** JSON; unknown keys are refused by the schema. A missing body is taken for `{}`. */
  readonly body?: z.ZodType<B>;
  /** Described only: the route reads its body itself. */
  readonly describedBody?: Readonly<Record<string, z.ZodType>>;
  /** By status. Errors are described for all routes alike. */
  readonly answers: Readonly<Record<number, readonly [description: string, schema?: z.ZodType]>>;
};

/** A checked request. */
export type Call<P, Q, B> = {
  readonly c: Context;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The body as it was written. */
  readonly text: string;
};

const errorBody = z
  .object({ error: z.object({ code: z.string(), message: z.string(), details: z.unknown().optional() }) })
  .openapi("Error");

/** A route for keys with this scope. */
export function endpoint<P, Q, B>(
  api: Api,
  scope: Scope,
  spec: Spec<P, Q, B>,
  handle: (call: Call<P, Q, B> & Caller) => Promise<Response>,
): void {
  document(api, spec, [{ key: [scope] }]);
  mount(api, spec, async (c) => {
    const caller = await api.auth.authenticate(c, scope);
    const call = await check(c, spec);
    // Made for this request, and nobody else's: two spreads cost V8 5 µs here.
    const response = await handle(Object.assign(call, caller));
    if (spec.audit !== undefined && response.ok && !isDryRun(call.body))
      await tell(api.engine, await auditEventOf(spec.audit, call, caller, response));
    return response;
  });
}

/** To the audit, and to whoever looks on: their pages show it at once. */
async function tell(engine: Engine, event: NewAuditEvent): Promise<void> {
  await audit(engine.db, event);
  const { workspace, action, subject: id } = event;
  engine.feed.publish({ workspace, type: "changed", action, id });
}

const isDryRun = (body: unknown): boolean => isObject(body) && body.dry_run === true;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the audit keeps of a call: the names of what was given, none of its values but the subject's own name. */
async function auditEventOf(
  action: string,
  call: Call<unknown, unknown, unknown>,
  { workspace, actor }: Caller,
  response: Response,
): Promise<NewAuditEvent> {
  const body = isObject(call.body) ? call.body : {};
  const params = isObject(call.params) ? call.params : {};
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  const answer: unknown = isJson ? await response.clone().json() : undefined;
  const made = isObject(answer) ? answer : {};
  const names = [params.id, params.name, params.key, made.id, made.name, body.name, body.id, body.queue];
  const subject = names.find((each) => typeof each === "string");
  const fields = Object.keys(body).sort();
  return {
    workspace,
    actor,
    action,
    subject: typeof subject === "string" ? subject : "",
    details: fields.length === 0 ? {} : { fields },
  };
}

/** A route without a key: it is open, or asks for a capability itself. */
export function openEndpoint<P, Q, B>(
  api: Api,
  spec: Spec<P, Q, B>,
  handle: (call: Call<P, Q, B>) => Promise<Response>,
): void {
  document(api, spec, []);
  mount(api, spec, async (c) => handle(await check(c, spec)));
}

function mount<P, Q, B>(api: Api, spec: Spec<P, Q, B>, handler: (c: Context) => Promise<Response>): void {
  // The audit reads a route's answer, which has not its headers there.
  if (spec.plain === true && spec.audit !== undefined) throw new Error(`${spec.path} is audited: it has one door`);
  if (spec.plain === true) api.plain.push({ path: spec.path, handle: handler });
  api.app.on(spec.method.toUpperCase(), spec.path.replaceAll(/\{(\w+)\}/g, ":$1"), handler);
}

async function check<P, Q, B>(c: Context, spec: Spec<P, Q, B>): Promise<Call<P, Q, B>> {
  const params = parse(spec.params, c.req.param(), "");
  // No name or id of anything holds a control character, and Postgres would refuse to look for one.
  for (const text of Object.values(c.req.param())) if (!isPlain(text)) throw notFound("thing", text);
  const query = parse(spec.query?.strict(), queryOf(c), "query");
  const { value, text } = spec.body === undefined ? { value: undefined, text: "" } : await readJson(c);
  return { c, params, query, body: parse(spec.body, value, ""), text } as Call<P, Q, B>;
}

function parse(schema: z.ZodType | undefined, value: unknown, place: string): unknown {
  if (schema === undefined) return undefined;
  const result = schema.safeParse(value);
  if (!result.success) throw refusalOfSchema(result.error, place);
  return result.data;
}

/** @throws Refusal for a parameter that is given twice. */
function queryOf(c: Context): Record<string, string> {
  return Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => {
      if (values.length > 1) throw new Refusal(422, "invalid", `query.${name.slice(0, 80)}: it is given twice`);
      return [name, values[0]!];
    }),
  );
}

/** The JSON body of a request. */
export async function readJson(c: Context): Promise<{ value: unknown; text: string }> {
  const contentType = headerOf(c, "content-type");
  const bytes = await readBytes(c, limits.bodyBytes);
  if (bytes.byteLength > 0 && !mayBeJson(contentType)) {
    throw new Refusal(
      415,
      "unsupported_media_type",
      `Send the body as content-type: application/json, not ${contentType?.slice(0, 80)}.`,
    );
  }
  return parseJson(bytes) ?? { value: {}, text: "{}" };
}

function document<P, Q, B>(api: Api, spec: Spec<P, Q, B>, security: Record<string, string[]>[]): void {
  const bodies: Readonly<Record<string, z.ZodType>> =
    spec.describedBody ?? (spec.body === undefined ? {} : { "application/json": spec.body });
  const answers = Object.entries(spec.answers).map(([status, [description, schema]]) => [
    status,
    { description, ...(schema === undefined ? {} : { content: { "application/json": { schema } } }) },
  ]);
  api.app.openAPIRegistry.registerPath({
    method: spec.method,
    path: spec.path,
    summary: spec.summary,
    tags: [spec.tag],
    security,
    // Who adds a route that changes something says so, or a test asks for it.
    ...(spec.audit === undefined ? {} : { "x-rotor-audit": spec.audit }),
    request: {
      ...(spec.params === undefined ? {} : { params: spec.params }),
      ...(spec.query === undefined ? {} : { query: spec.query }),
      ...(Object.keys(bodies).length === 0
        ? {}
        : {
            body: { content: Object.fromEntries(Object.entries(bodies).map(([type, schema]) => [type, { schema }])) },
          }),
    },
    responses: {
      ...Object.fromEntries(answers),
      default: {
        description: "An error: its code, and what to do.",
        content: { "application/json": { schema: errorBody } },
      },
    },
  });
}
