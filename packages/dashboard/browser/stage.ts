/** What browser tests and pictures share: a server with a story in it, and a Chromium that looks at it. */
import { nodeHandler, type RotorFunction, workflowHandler } from "@rotorsh/sdk";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { type TestServer, testServer } from "../../server/src/testing-kit/server.js";

export type Stage = {
  readonly server: TestServer;
  /** Serves functions as an app of this name, and registers them. */
  serveFunctions(app: string, functions: readonly RotorFunction[]): Promise<void>;
  /** A page of its own; `faults` gathers what its console and its policy complained of. */
  open(path: string, options?: BrowserContextOptions): Promise<Sight>;
  close(): Promise<void>;
};

export type Sight = { readonly page: Page; readonly faults: string[]; readonly close: () => Promise<void> };

/** A wide screen in the dark, and a phone in the light: what each test of a page looks at. */
export const WIDE: BrowserContextOptions = {
  viewport: { width: 1360, height: 860 },
  colorScheme: "dark",
  timezoneId: "Europe/Berlin",
  locale: "en-GB",
};
export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  colorScheme: "light",
  timezoneId: "Europe/Berlin",
  locale: "en-GB",
  hasTouch: true,
};

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A Chromium that looks at the server at this address. */
export function openWindow(baseUrl: string): Pick<Stage, "open" | "close"> {
  let browser: Browser | undefined;
  return {
    async open(path, options = WIDE) {
      browser ??= await chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: FLAGS,
      });
      const context = await browser.newContext({ ...options, baseURL: baseUrl });
      await context.grantPermissions(["clipboard-read", "clipboard-write"]);
      const page = await context.newPage();
      const faults: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
      });
      page.on("pageerror", (error) => faults.push(String(error)));
      page.on("dialog", (dialog) => {
        faults.push(`a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      await page.goto(path);
      return { page, faults, close: () => context.close() };
    },
    close: async () => browser?.close(),
  };
}

export async function openStage(environment: Record<string, string> = {}): Promise<Stage> {
  const server = await testServer(environment);
  const window = openWindow(server.baseUrl);
  return {
    server,
    async serveFunctions(app, functions) {
      const url = await server.serve(nodeHandler(workflowHandler({ app, dev: true, functions })));
      await server.rotor.functions.sync({ url: `${url}/api/rotor`, move: true });
    },
    open: window.open,
    async close() {
      await window.close();
      await server.close();
    },
  };
}
