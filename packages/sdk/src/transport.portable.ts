/** HTTP on runtimes without `node:http`: over the global `fetch`. Same exports as `transport.node.ts`. */

import { sendWithFetch } from "./transport.fetch.js";
import type { TransportRequest, TransportResponse } from "./transport.js";

/** See `Send` in `transport.ts`. */
export const send = (url: string, request: TransportRequest): Promise<TransportResponse> =>
  sendWithFetch(globalThis.fetch, url, request);
