/** Functions in the server's own process: the same handler and protocol as an app's, without a socket between them. */
import type { RotorFunction } from "@rotorsh/sdk";
import { embeddedHandler } from "@rotorsh/sdk/embedded";
import { DEFAULT_WORKSPACE } from "./bootstrap.js";
import { type Config, ConfigError } from "./config.js";
import { type InProcessApp, inProcessUrl } from "./delivery/in-process.js";
import type { Engine } from "./http/engine.js";

/** What `startRotor` is given to run functions beside the server. */
export type OneProcess = {
  readonly functions: readonly RotorFunction[];
  /** The server's settings (default: `readConfig(process.env, { mode: "start" })`). */
  readonly config?: Config;
  /** Tells apps of one database apart (default "default"). */
  readonly app?: string;
  /** Agrees that the app, or a function of it, moves here from the address where it was served before (default false). */
  readonly move?: boolean;
};

export type OneProcessApp = {
  readonly url: string;
  readonly answer: InProcessApp;
  /** Tells the server of the functions. */
  readonly register: (engine: Engine) => Promise<void>;
  /** The server has stopped: what is still at work after its drain begins nothing more, since nobody would record it. */
  readonly abandon: () => void;
};

type Server = {
  /** Answers a request to the API, whose path begins with "/v1". */
  readonly api: (request: Request) => Response | Promise<Response>;
  readonly publicUrl: string;
  /** The signing keys of the workspace that the functions belong to. */
  readonly signing: (workspace: string) => Promise<readonly string[]>;
};

/** @throws RotorInputError for two functions of one id. */
export function oneProcessApp({ functions, app = "default", move = false }: OneProcess, server: Server): OneProcessApp {
  const url = inProcessUrl(app);
  // Deliveries name the public address, which may have a path before the API's.
  const toApi: typeof fetch = async (asked, init) =>
    server.api(new Request(`http://rotor${String(asked).slice(server.publicUrl.length)}`, init));
  let signing: readonly string[] = [];
  const handler = embeddedHandler({ functions, app, signingKey: () => signing, dev: false }, toApi);
  return {
    url,
    async answer(request) {
      // The handler reads it as it is called.
      signing = await server.signing(DEFAULT_WORKSPACE);
      return handler(request);
    },
    async register(engine) {
      const result = await engine.sync(DEFAULT_WORKSPACE, url, move);
      if (!result.ok) throw new ConfigError(`The functions of this process cannot be served: ${result.message}`);
    },
    abandon: () => void handler.drain(),
  };
}
