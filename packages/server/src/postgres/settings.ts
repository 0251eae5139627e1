/**
 * The settings of the embedded Postgres, given on its command line so that an upgrade of Rotor changes them.
 * What makes it durable (fsync, full_page_writes, synchronous_commit) keeps its default: on.
 */

/** How clients reach it: by a socket in a private folder, or by loopback with a password. */
export type Transport =
  | { readonly kind: "socket"; readonly folder: string }
  | { readonly kind: "loopback"; readonly port: number; readonly password: string };

/** The port that names the socket file; no port is opened. */
export const SOCKET_PORT = 5432;

const SETTINGS: Readonly<Record<string, string>> = {
  // A server uses 14 at most; several of them, and tools, fit. Each unused one costs a few kB.
  max_connections: "200",
  // Postgres's own default, fixed here: initdb writes less on a machine that is short of memory just then.
  shared_buffers: "128MB",
  // A burst of jobs writes WAL quickly; at 1 GB it would force checkpoints in the middle of the burst.
  max_wal_size: "2GB",
  // Only pglz is in this build (no lz4), and it costs more processor time at a commit than the disk it saves.
  wal_compression: "off",
  // Queue tables change much and stay small: dead rows must go soon, or each claim walks over them.
  autovacuum_naptime: "10s",
  // Rotor's statements are short; compiling one would take longer than running it.
  jit: "off",
  // The log is for finding out why it would not start, not for each checkpoint.
  log_min_messages: "warning",
  log_checkpoints: "off",
  // Rotor owns the log file, so that its size has a bound.
  logging_collector: "off",
  log_destination: "stderr",
  // Rotor reads some messages of the log, and the log shall not depend on who started it.
  lc_messages: "C",
  log_timezone: "UTC",
  timezone: "UTC",
};

/** `-c name=value` for each setting. */
export const settingsFor = (transport: Transport): string[] => {
  const own: Record<string, string> =
    transport.kind === "socket"
      ? {
          port: String(SOCKET_PORT),
          listen_addresses: "",
          // The value is a list with commas, in which a quoted item may hold anything.
          unix_socket_directories: `"${transport.folder.replaceAll('"', '""')}"`,
          // The folder is private already; this holds even if someone opens it.
          unix_socket_permissions: "0700",
        }
      : { port: String(transport.port), listen_addresses: "127.0.0.1", unix_socket_directories: "" };
  return Object.entries({ ...SETTINGS, ...own }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
};

/** The URL of a database as `pg` reads it. `sslmode` is said, since PGSSLMODE would otherwise apply. */
export const urlFor = (transport: Transport, database: string): string =>
  transport.kind === "socket"
    ? `postgres://postgres@localhost:${SOCKET_PORT}/${database}?host=${encodeURIComponent(transport.folder)}&sslmode=disable`
    : `postgres://postgres:${encodeURIComponent(transport.password)}@127.0.0.1:${transport.port}/${database}?sslmode=disable`;
