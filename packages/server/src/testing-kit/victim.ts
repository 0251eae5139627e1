/** A server in a process of its own: to be killed, or to have another clock than the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../../../cli/bin/rotor.mjs", import.meta.url));
export const signingKey = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
export const apiKey = `rt_ws_default_${Buffer.alloc(32, 3).toString("base64url")}`;

/** A server in a process of its own that can be killed and started again under the same address. */
export class Victim {
  #child: ChildProcess | undefined;
  #port = 0;
  readonly #env: Record<string, string>;
  baseUrl = "";

  /** `more`: settings beside those that it needs. */
  constructor(databaseUrl: string, schema: string, more: Record<string, string> = {}) {
    this.#env = {
      ...(process.env as Record<string, string>),
      DATABASE_URL: databaseUrl,
      ROTOR_SCHEMA: schema,
      ROTOR_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString("base64"),
      ROTOR_BOOTSTRAP_KEY: apiKey,
      ROTOR_SIGNING_KEY: signingKey,
      ROTOR_ALLOW_PRIVATE_URLS: "loopback",
      ROTOR_LOG_LEVEL: "error",
      ...more,
    };
  }

  /** The same port again, even if some other connection of this machine has it for a moment. */
  async restart(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.start();
      } catch (error) {
        if (tries === 20) throw error;
      }
    }
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [cli, "start", "--json", "--port", String(this.#port)], {
      env: this.#env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    const line = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stdout!.on("data", (chunk) => {
        text += chunk;
        if (text.includes("\n")) resolve(text.split("\n")[0]!);
      });
      child.once("exit", (code) => reject(new Error(`The server ended with ${code}.`)));
    });
    this.baseUrl = (JSON.parse(line) as { url: string }).url;
    this.#port = Number(new URL(this.baseUrl).port);
  }

  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await gone;
  }
}
