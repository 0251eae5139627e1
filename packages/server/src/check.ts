/**
 * Asks an app how its code fares with runs that are stored: each is posted as a delivery that says it is a check. No run is
 * claimed, no attempt counted, nothing written.
 */
import { answerContext, CHECK_DELIVERY } from "@rotorsh/sdk/protocol";
import { verifyAnswer } from "@rotorsh/sdk/signature";
import { storable } from "./core/callback-answer.js";
import { type Fit, fitOf } from "./core/check.js";
import { limits } from "./core/limits.js";
import { makeToken } from "./core/token.js";
import { parseAnswer } from "./core/workflow-answer.js";
import { workflowBody } from "./core/workflow-body.js";
import { deliver } from "./delivery/deliver.js";
import { workflowRequest } from "./delivery/request.js";
import type { CheckOptions, CheckResult, FunctionCheck } from "./http/engine.js";
import { loadHistories, NO_HISTORY } from "./store/history.js";
import { type AppFunction, listAppFunctions, readStoredRun, type Sampled, sampleRuns } from "./store/sample.js";
import { readManifest, type SyncOptions } from "./sync.js";

export type Checker = SyncOptions & {
  readonly publicUrl: string;
  readonly tokenSecret: string;
  /** As of deliveries: a queue may have keys of its own. */
  readonly secrets: (workspace: string, queueId?: number) => Promise<readonly string[]>;
};

/** The code that is asked, and about which function. */
type Asked = {
  readonly workspace: string;
  readonly url: string;
  readonly app: string;
  readonly name: string;
  readonly secrets: readonly string[];
};

export async function check(
  checker: Checker,
  workspace: string,
  url: string,
  options: CheckOptions,
): Promise<CheckResult> {
  const untilMs = performance.now() + limits.checkMs;
  const read = await readManifest(checker, workspace, url);
  if (!read.ok) return read;
  const { manifest } = read;
  if (manifest.checks !== true) {
    const message = `The SDK of the app at ${url} (${manifest.sdk}) does not know checks, and would run steps: update it.`;
    return { ok: false, status: 422, message };
  }
  const known = await listAppFunctions(checker.db, workspace, manifest.app);
  if (known.length === 0) {
    const message = `No functions of the app ${manifest.app} are known here, so there is nothing to check: sync it first, or give it the name of the app that it is to replace.`;
    return { ok: false, status: 422, message };
  }
  const wanted = known.filter((one) => options.function === undefined || one.name === options.function);
  if (wanted.length === 0)
    return { ok: false, status: 404, message: `The app ${manifest.app} has no function ${options.function}.` };
  const served = new Set(manifest.functions.map((one) => one.id));
  const results: FunctionResult[] = [];
  for (const one of wanted) {
    const runs = served.has(one.name) ? await sampleRuns(checker.db, one.queueId, options.limit) : [];
    const secrets = await checker.secrets(workspace, one.queueId);
    const asked = { workspace, url, app: manifest.app, name: one.name, secrets };
    results.push({ one, served: served.has(one.name), fits: await fitsOf(checker, asked, runs, untilMs) });
  }
  return {
    ok: true,
    app: manifest.app,
    functions: results.map(countsOf),
    diverging: named(results, (fit) => fit.kind === "diverges" && fit).map(
      ([name, runId, { step, recorded, asked: kind }]) => ({ function: name, runId, step, recorded, asked: kind }),
    ),
    failing: named(results, (fit) => fit.kind === "error" && fit).map(([name, runId, { error }]) => ({
      function: name,
      runId,
      error,
    })),
  };
}

type Checked = Sampled & { readonly fit: Fit };
type FunctionResult = { readonly one: AppFunction; readonly served: boolean; readonly fits: readonly Checked[] };

function countsOf({ one, served, fits }: FunctionResult): FunctionCheck {
  const count = (kind: Fit["kind"]): number => fits.filter(({ fit }) => fit.kind === kind).length;
  return {
    function: one.name,
    served,
    unfinished: one.unfinished,
    fits: count("fits"),
    otherwise: count("otherwise"),
    diverges: count("diverges"),
    errors: count("error"),
    // Some may have come or gone since they were counted.
    unchecked: Math.max(0, one.unfinished - fits.filter((run) => !run.isFinished).length),
  };
}

function named<F>(results: readonly FunctionResult[], pick: (fit: Fit) => F | false): [string, string, F][] {
  return results
    .flatMap(({ one, fits }) =>
      fits.flatMap(({ jobId, fit }): [string, string, F][] => {
        const found = pick(fit);
        return found === false ? [] : [[one.name, jobId, found]];
      }),
    )
    .slice(0, limits.checkNamed);
}

/** Asks about these runs, a few at a time, until the time is over. */
async function fitsOf(checker: Checker, asked: Asked, runs: readonly Sampled[], untilMs: number): Promise<Checked[]> {
  const left = [...runs.entries()];
  const fits = new Map<number, Checked>();
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined && performance.now() < untilMs; next = left.shift()) {
      const [place, run] = next;
      const fit = await fitOfRun(checker, asked, run.jobId, untilMs - performance.now());
      if (fit !== undefined) fits.set(place, { ...run, fit });
    }
  };
  await Promise.all(Array.from({ length: limits.checkConcurrency }, worker));
  // As they were sampled, whichever answered first.
  return [...runs.keys()].flatMap((place) => fits.get(place) ?? []);
}

/** Undefined where the run is gone. */
async function fitOfRun(
  checker: Checker,
  { workspace, url, app, name, secrets }: Asked,
  jobId: string,
  timeoutMs: number,
): Promise<Fit | undefined> {
  const run = await readStoredRun(checker.db, jobId);
  if (run === undefined) return undefined;
  const history = (await loadHistories(checker.db, [jobId])).get(jobId) ?? NO_HISTORY;
  const token = makeToken(checker.tokenSecret, "check", { jobId, delivery: CHECK_DELIVERY });
  const body = workflowBody(
    {
      app,
      function: name,
      run: jobId,
      delivery: CHECK_DELIVERY,
      attempt: run.attempt,
      maxAttempts: run.maxAttempts,
      event: run.body.toString(),
      batched: run.batched,
      checkpoint: { url: `${checker.publicUrl}/v1/checkpoints`, token },
      check: true,
    },
    history,
    limits.deliveryBytes,
  );
  const result = await deliver(checker.pools, {
    url,
    ...workflowRequest({ body, secrets, nowSeconds: Math.floor(checker.now() / 1000), run: jobId }),
    timeoutMs: Math.max(1, timeoutMs),
    idleTimeoutMs: limits.runSilenceMs,
    maxBodyBytes: limits.answerBytes,
    workspace,
  });
  if (result.kind !== "answered") {
    const message = "message" in result ? result.message : `The app gave no answer (${result.kind}).`;
    return failed("UnreachableError", message);
  }
  const signed =
    result.status === 200
      ? verifyAnswer(result.body, answerContext(jobId, CHECK_DELIVERY), [...secrets], { now: checker.now() })
      : undefined;
  if (signed === undefined) {
    const said = storable(result.body).slice(0, 300);
    return failed("AppUnreachableError", `${url} answered ${result.status} without Rotor's signature: ${said}`);
  }
  const answer = parseAnswer(signed.json);
  return answer.ok ? fitOf(run, answer.value) : failed("InvalidAnswerError", `Its answer is none: ${answer.message}`);
}

const failed = (name: string, message: string): Fit => ({ kind: "error", error: { name, message } });
