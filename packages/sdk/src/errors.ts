/** All errors of the SDK and how they travel: the one place to import them from. */

export * from "./error-classes.js";
export * from "./input-error.js";
export * from "./wire-error.js";
