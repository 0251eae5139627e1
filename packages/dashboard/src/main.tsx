/** Puts the page together. */
import "@fontsource-variable/geist/wght.css";
import "./styles/tokens.css";
import "./styles/base.css";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { queries, whenLoggedOut } from "./api/client.js";
import { router } from "./router.js";
import { startTheme } from "./shell/theme.js";

startTheme();
whenLoggedOut(() => {
  const { href, pathname } = router.state.location;
  if (pathname === "/login") return;
  // What was read under the old login is not to be seen after the next one, which may be another's.
  void router
    .navigate({ to: "/login", search: href === "/" ? {} : { to: href }, replace: true })
    .then(() => queries.clear());
});
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
);
