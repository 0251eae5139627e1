/** How the page is built: static files, one chunk a page, nothing inline, so that the strictest policy serves it. */
import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
  // The SDK is taken from its sources, so that only what the page calls is shipped, and no build of it has to come first.
  resolve: { conditions: ["rotor-source", "module", "browser", "production"] },
  build: {
    target: "es2023",
    // Fonts and pictures as files of their own: the policy allows no data: fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: true,
    rolldownOptions: {
      // Directives for servers that render React: this page has none.
      onLog: (level, log, tell) => log.code !== "MODULE_LEVEL_DIRECTIVE" && tell(level, log),
    },
  },
  // `npm run dev -w @rotorsh/dashboard`: the page from its sources, its data from a server on the usual port.
  server: {
    port: 7687,
    proxy: { "/v1": process.env.ROTOR_BASE_URL ?? "http://127.0.0.1:7686" },
  },
});
