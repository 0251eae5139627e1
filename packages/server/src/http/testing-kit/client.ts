/** The API with an app of two functions, seen by the SDK's client: what it sends must be taken, what it reads be there. */
import { randomUUID } from "node:crypto";
import { Rotor } from "@rotorsh/sdk";
import { makeToken } from "../../core/token.js";
import { claim } from "../../store/claim.js";
import { getQueue } from "../../store/queues.js";
import { createApiKey, SCOPES } from "../auth.js";
import { manifestOf, type Send, type TestApi, TOKEN_SECRET, testApi } from "./api.js";

/** Where the functions `outreach` (on `contact.added`, and daily) and `plain` are served. */
export const APP = "http://127.0.0.1:9999/api/rotor";

/** A callback URL that a test never calls. */
export const CALLBACK = "http://127.0.0.1:9999/";

export type Job = { readonly jobId: string; readonly delivery: number };

export type ClientApi = {
  readonly api: TestApi;
  readonly send: Send;
  readonly rotor: Rotor;
  /** Claims what is due of a function or queue, as a node would. */
  claimed(kind: "callback" | "function", name: string, workspace?: string): Promise<Job[]>;
};

export async function clientApi(): Promise<ClientApi> {
  const api = await testApi();
  const { db } = api.database;
  const { key } = await createApiKey(db, "default", "sdk", SCOPES);
  const fetcher: typeof fetch = async (url, init) => api.app.request(url as string, init);
  const rotor = new Rotor({ apiKey: key, baseUrl: "http://rotor.test", fetch: fetcher });
  api.apps.set(
    APP,
    manifestOf("default", [{ id: "outreach", event: "contact.added", cron: "0 9 * * *" }, { id: "plain" }]),
  );
  await rotor.functions.sync({ url: APP });
  return {
    api,
    send: await api.as("default"),
    rotor,
    async claimed(kind, name, workspace = "default") {
      const queue = await getQueue(db, workspace, kind, name);
      return [...(await claim(db, randomUUID(), [queue!.id], 100)).taken];
    },
  };
}

/** The capability that a delivery carries. */
export const tokenOf = (job: Job, purpose: "checkpoint" | "complete" = "checkpoint"): string =>
  makeToken(TOKEN_SECRET, purpose, job);
