/** Every address of the page. A page's code is fetched when it is first gone to. */

import { type Approval, RotorApiError, type StatsWindow } from "@rotorsh/sdk";
import {
  createRootRoute,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { queries } from "./api/client.js";
import { sessionQuery } from "./api/session.js";
import { WINDOWS } from "./api/stats.js";
import { choice, text, texts } from "./shell/search.js";
import { Shell } from "./shell/shell.js";
import { EmptyState } from "./ui/empty-state.js";
import { ErrorNotice } from "./ui/error-notice.js";
import { Page } from "./ui/page.js";

const root = createRootRoute();

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  // Only a path of ours: `//elsewhere` and `https:` are not gone to.
  validateSearch: (search: Record<string, unknown>): { to?: string } => {
    const to = text(search, "to");
    return to !== undefined && /^\/(?![/\\])/.test(to) ? { to } : {};
  },
  component: lazyRouteComponent(() => import("./pages/login.js"), "Login"),
});

const shell = createRoute({
  getParentRoute: () => root,
  id: "shell",
  component: Shell,
  beforeLoad: async ({ location }) => {
    try {
      await queries.ensureQueryData(sessionQuery);
    } catch (error) {
      if (error instanceof RotorApiError && error.status === 401)
        throw redirect({ to: "/login", search: location.href === "/" ? {} : { to: location.href }, replace: true });
      throw error;
    }
  },
});

const home = createRoute({
  getParentRoute: () => shell,
  path: "/",
  validateSearch: (search: Record<string, unknown>): { window?: StatsWindow } => {
    const window = choice(search, "window", WINDOWS);
    return window === undefined ? {} : { window };
  },
  component: lazyRouteComponent(() => import("./pages/overview.js"), "Overview"),
});

const runs = createRoute({
  getParentRoute: () => shell,
  path: "/runs",
  validateSearch: texts("function", "state", "event", "event_id", "tag", "after", "before"),
  component: lazyRouteComponent(() => import("./pages/runs.js"), "Runs"),
});

const run = createRoute({
  getParentRoute: () => shell,
  path: "/runs/$runId",
  validateSearch: texts("step"),
  component: lazyRouteComponent(() => import("./pages/run.js"), "RunPage"),
});

const jobs = createRoute({
  getParentRoute: () => shell,
  path: "/jobs",
  validateSearch: texts("queue", "state", "tag", "error", "after", "before"),
  component: lazyRouteComponent(() => import("./pages/jobs.js"), "Jobs"),
});

const job = createRoute({
  getParentRoute: () => shell,
  path: "/jobs/$jobId",
  component: lazyRouteComponent(() => import("./pages/job.js"), "JobPage"),
});

/** As the API's path of a job: the command line prints it. */
const jobOfQueue = createRoute({
  getParentRoute: () => shell,
  path: "/queues/$queue/jobs/$jobId",
  beforeLoad: ({ params: { jobId } }) => {
    throw redirect({ to: "/jobs/$jobId", params: { jobId }, replace: true });
  },
});

const deadLetters = createRoute({
  getParentRoute: () => shell,
  path: "/dead-letters",
  validateSearch: texts("queue", "tag", "error", "after", "before"),
  component: lazyRouteComponent(() => import("./pages/dead-letters.js"), "DeadLetters"),
});

const queues = createRoute({
  getParentRoute: () => shell,
  path: "/queues",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./pages/queues.js"), "Queues"),
});

const queue = createRoute({
  getParentRoute: () => shell,
  path: "/queues/$queue",
  component: lazyRouteComponent(() => import("./pages/queue.js"), "QueuePage"),
});

const schedules = createRoute({
  getParentRoute: () => shell,
  path: "/schedules",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./pages/schedules.js"), "Schedules"),
});

const functions = createRoute({
  getParentRoute: () => shell,
  path: "/functions",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./pages/functions.js"), "Functions"),
});

const functionOf = createRoute({
  getParentRoute: () => shell,
  path: "/functions/$functionId",
  component: lazyRouteComponent(() => import("./pages/function.js"), "FunctionPage"),
});

const events = createRoute({
  getParentRoute: () => shell,
  path: "/events",
  validateSearch: texts("name", "tag", "after", "before"),
  component: lazyRouteComponent(() => import("./pages/events.js"), "Events"),
});

const event = createRoute({
  getParentRoute: () => shell,
  path: "/events/$eventId",
  component: lazyRouteComponent(() => import("./pages/event.js"), "EventPage"),
});

const approvals = createRoute({
  getParentRoute: () => shell,
  path: "/approvals",
  validateSearch: (search: Record<string, unknown>): { status?: Approval["status"] } => {
    const status = choice(search, "status", ["pending", "approved", "rejected", "expired"] as const);
    return status === undefined ? {} : { status };
  },
  component: lazyRouteComponent(() => import("./pages/approvals.js"), "Approvals"),
});

const webhooks = createRoute({
  getParentRoute: () => shell,
  path: "/webhooks",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./pages/webhooks.js"), "Webhooks"),
});

const webhook = createRoute({
  getParentRoute: () => shell,
  path: "/webhooks/$webhook",
  validateSearch: texts("state"),
  component: lazyRouteComponent(() => import("./pages/webhook.js"), "WebhookPage"),
});

const apiKeys = createRoute({
  getParentRoute: () => shell,
  path: "/keys",
  component: lazyRouteComponent(() => import("./pages/keys.js"), "Keys"),
});

const secrets = createRoute({
  getParentRoute: () => shell,
  path: "/secrets",
  component: lazyRouteComponent(() => import("./pages/secrets.js"), "Secrets"),
});

const audit = createRoute({
  getParentRoute: () => shell,
  path: "/audit",
  validateSearch: texts("action", "subject", "after", "before"),
  component: lazyRouteComponent(() => import("./pages/audit.js"), "Audit"),
});

const NotHere = () => (
  <Page title="Not here">
    <EmptyState title="There is no such page">
      The address may be mistyped, or from another version of Rotor.
    </EmptyState>
  </Page>
);

const Broken = ({ error, reset }: ErrorComponentProps) => (
  <Page title="Error">
    <ErrorNotice error={error} onRetry={reset} />
  </Page>
);

export const router = createRouter({
  routeTree: root.addChildren([
    login,
    shell.addChildren([
      home,
      runs,
      run,
      jobs,
      job,
      jobOfQueue,
      deadLetters,
      queues,
      queue,
      schedules,
      functions,
      functionOf,
      events,
      event,
      approvals,
      webhooks,
      webhook,
      apiKeys,
      secrets,
      audit,
    ]),
  ]),
  defaultPreload: "intent",
  defaultNotFoundComponent: NotHere,
  defaultErrorComponent: Broken,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
