// `node scripts/built.mjs PROGRAM …` runs a program that imports what is built: in a bare clone, too.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build, install } from "./install.mjs";

install();
build();
process.argv.splice(1, 1);
process.argv[1] = resolve(process.argv[1]);
await import(pathToFileURL(process.argv[1]).href);
