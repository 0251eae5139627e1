// Programs that a check of ours needs and that Debian has: installed where this process may, else named.
import { spawnSync } from "node:child_process";

/** Throws where `what` is not there and cannot be had. `isThere` looks; `msLeft` says how long all of it may take. */
export function needDebian(what, packages, isThere, msLeft) {
  if (isThere()) return;
  if (process.getuid() === 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const quiet = { env, stdio: "ignore", timeout: msLeft() };
    const install = () => spawnSync("apt-get", ["install", "-y", "--no-install-recommends", ...packages], quiet).status;
    if (install() !== 0) {
      spawnSync("apt-get", ["update"], quiet);
      install();
    }
  }
  if (!isThere()) throw new Error(`There is no ${what}: apt-get install --no-install-recommends ${packages.join(" ")}`);
}
