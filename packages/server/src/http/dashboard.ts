/**
 * The dashboard's files: a page that a browser loads once, and that then asks the API like any client. It is built into
 * `assets/dashboard` by `npm run build`, each file with its compressed forms beside it. No key is needed for it: it holds
 * nothing of anybody.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Context } from "hono";
import type { Api } from "./endpoint.js";
import { Refusal } from "./errors.js";

const FOLDER = new URL("../../assets/dashboard/", import.meta.url);

/** The page loads what is its own, and no script, style or frame that stands in its text. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** Compressed forms, the best first. */
const ENCODINGS = [
  ["br", ".br"],
  ["gzip", ".gz"],
] as const;

type File = {
  readonly type: string;
  readonly etag: string;
  readonly forms: Readonly<Partial<Record<"identity" | "br" | "gzip", Uint8Array<ArrayBuffer>>>>;
};

export type Dashboard = {
  /** Answers for a path that is no route of the API: a file, or the page itself where a browser goes to one of its views. */
  answer(c: Context): Promise<Response | undefined>;
};

/** What is below these is never a view of the page, so that a mistyped route of the API is told so. */
const NOT_VIEWS = /^\/(?:v1|api|assets|doc|docs|links|metrics|healthz|readyz|sdk\.tgz)(?:\/|$)/i;

/** Hangs the route of the page, and answers what serves the rest of it. */
export function dashboard(api: Api, folder: URL = FOLDER): Dashboard {
  let loading: Promise<ReadonlyMap<string, File>> | undefined;
  const files = (): Promise<ReadonlyMap<string, File>> => {
    loading ??= load(folder);
    // Not built yet, perhaps: looked for again.
    loading.then((found) => found.size === 0 && forget(), forget);
    return loading;
  };
  const forget = (): void => {
    loading = undefined;
  };

  api.app.get("/", async (c) => {
    const page = (await files()).get("/index.html");
    if (page !== undefined) return send(c, page, false);
    throw new Refusal(
      404,
      "not_found",
      "This server was built without its dashboard: `npm run build` makes it. GET /doc describes the API.",
    );
  });

  return {
    async answer(c) {
      if (c.req.method !== "GET" && c.req.method !== "HEAD") return undefined;
      const { path } = c.req;
      const found = await files();
      const file = found.get(path);
      if (file !== undefined) return send(c, file, path.startsWith("/assets/"));
      const page = found.get("/index.html");
      const isView = !NOT_VIEWS.test(path) && c.req.header("accept")?.includes("text/html") === true;
      return isView && page !== undefined ? send(c, page, false) : undefined;
    },
  };
}

/** All files by their paths; they are some hundred kilobytes, and never change while a server runs. */
async function load(folder: URL): Promise<ReadonlyMap<string, File>> {
  const root = fileURLToPath(folder);
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    },
  );
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const present = new Set(paths);
  const found = new Map<string, File>();
  for (const path of paths) {
    const type = TYPES[extname(path)];
    // Compressed forms come with the file that they are of.
    if (type === undefined) continue;
    const identity = await readFile(path);
    const forms: { -readonly [form in keyof File["forms"]]: File["forms"][form] } = {
      identity: new Uint8Array(identity),
    };
    for (const [encoding, suffix] of ENCODINGS)
      if (present.has(path + suffix)) forms[encoding] = new Uint8Array(await readFile(path + suffix));
    const etag = `"${createHash("sha256").update(identity).digest("base64url").slice(0, 22)}"`;
    found.set(`/${relative(root, path).replaceAll(sep, "/")}`, { type, etag, forms });
  }
  return found;
}

/** `hashed`: its name changes with its content, so that it may be kept for ever. */
function send(c: Context, file: File, hashed: boolean): Response {
  const accepted = new Set(
    (c.req.header("accept-encoding") ?? "").split(",").map((each) => each.split(";")[0]!.trim().toLowerCase()),
  );
  const encoding = ENCODINGS.map(([name]) => name).find((name) => accepted.has(name) && file.forms[name] !== undefined);
  const headers = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "content-type": file.type,
    vary: "accept-encoding",
    etag: file.etag,
    "cache-control": hashed ? "public, max-age=31536000, immutable" : "no-cache",
    ...(encoding === undefined ? {} : { "content-encoding": encoding }),
  };
  const known = c.req
    .header("if-none-match")
    ?.split(",")
    .map((each) => each.trim().replace(/^W\//, ""));
  if (known?.includes(file.etag)) return c.body(null, 304, headers);
  return c.body(file.forms[encoding ?? "identity"]!, 200, headers);
}
