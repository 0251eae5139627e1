// `npm start`: the demonstration. Installs and builds if needed, then runs both of the guide's programs once.
import { build, install, root } from "./install.mjs";

install();
build();
process.chdir(root);
await import("./demo.mjs");
