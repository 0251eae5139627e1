/** Every address of the page. A page's code is fetched when it is first gone to. */

import { RotorApiError } from "@rotorsh/sdk";
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
import { text, texts } from "./shell/search.js";
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
  beforeLoad: () => {
    throw redirect({ to: "/runs", replace: true });
  },
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
  routeTree: root.addChildren([login, shell.addChildren([home, runs, run, jobs, job, jobOfQueue, deadLetters])]),
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
