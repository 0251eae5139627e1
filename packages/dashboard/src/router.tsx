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
  routeTree: root.addChildren([login, shell.addChildren([home, runs])]),
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
