/** The public surface of the server package: start one in a program of yours, or look into its store. */

export { adopt, type Diagnosis, doctor, makeKey, migrate, reseal } from "./admin.js";
export { type Config, ConfigError, readConfig } from "./config.js";
export { type Rotor, startRotor, VERSION } from "./main.js";
export type { OneProcess } from "./one-process.js";
export type { Violation } from "./store/invariants.js";
export type { Unindexed } from "./store/unindexed.js";
