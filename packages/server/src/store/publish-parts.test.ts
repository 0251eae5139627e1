/** Where a list of events is cut: before one that may rest on those before it, and nowhere else. */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { partsOf } from "./publish-parts.js";
import { planStart } from "./start-plan.js";
import type { Coming, Triggered } from "./triggers.js";

type Match = string | { readonly [path: string]: string | number };

/** Events by their letters and numbers: `s7` starts a run of the order 7, `x7` may cancel it. */
function cuts(
  list: string,
  match: Match | undefined,
  {
    workspaceOf = () => "default",
    more = {},
  }: { workspaceOf?: (name: string) => string; more?: Partial<StartOptions> } = {},
): string {
  const events = list.split(" ").map(
    (text): Coming => ({
      id: newId(),
      workspace: workspaceOf(text[0]!),
      name: text[0]!,
      key: text,
      data: JSON.stringify({ order: Number(text.slice(1)) }),
    }),
  );
  const cancelOn = [{ event: "x", ...(match !== undefined && { match }) }];
  const started = events.filter(({ name }) => name === "s");
  const triggered = started.map(({ id, workspace, name, key, data }): Triggered => {
    const body = Buffer.from(JSON.stringify({ id: key, name, data: JSON.parse(data), ts: 0 }));
    const job = { id: newId(), queueId: 1, key: null, body, contentType: "application/json" };
    return {
      eventId: id,
      function: "f",
      plan: planStart({
        to: { queueId: 1, workspace, starting: { cancel_on: cancelOn, ...more } },
        byEvent: true,
        job,
      }),
    };
  });
  return partsOf(events, triggered)
    .map((part) => part.map(({ key }) => key).join(" "))
    .join(" | ");
}

const SAME = "data.order == trigger.data.order";

test.each<[string, Match | undefined, string]>([
  ["s1 s2 s3", SAME, "s1 s2 s3"],
  ["x1 s1", SAME, "x1 s1"],
  ["s1 x1", SAME, "s1 | x1"],
  ["s1 x2 s2 x3", SAME, "s1 x2 s2 x3"],
  ["s1 s2 x1 x2", SAME, "s1 s2 | x1 x2"],
  ["s1 x1 s1 x1", SAME, "s1 | x1 s1 | x1"],
  ["s1 x1 x1", SAME, "s1 | x1 x1"],
  ["s1 x7", undefined, "s1 | x7"],
  ["s1 y1 x7 x8", { order: 8 }, "s1 y1 x7 | x8"],
  // Without an equality any event of the name may.
  ["s1 x0", "data.order > trigger.data.order", "s1 | x0"],
])("%s with %o is published as %s", (list, match, parts) => {
  expect(cuts(list, match)).toBe(parts);
});

test("another workspace's event of the name cancels nothing", () => {
  expect(cuts("s1 x1", SAME, { workspaceOf: (name) => (name === "x" ? "other" : "default") })).toBe("s1 x1");
});

test("a start whose singleton may have been held until then comes after what may have ended that", () => {
  const single = { more: { singleton: { key: "data.order", mode: "skip" } } } as const;
  expect(cuts("x1 s1 s2", SAME, single)).toBe("x1 | s1 s2");
  expect(cuts("s1 x1 s1 x2 s3", SAME, single)).toBe("s1 | x1 | s1 x2 | s3");
  expect(cuts("y1 s1 y2 s2", SAME, single)).toBe("y1 s1 y2 s2");
});

test("a run that gathers an event may no longer be cancelled as it was before", () => {
  const gathering = { more: { debounce: { period_ms: 1_000 } } } as const;
  expect(cuts("x1 s1 s2 x3 x1", SAME, gathering)).toBe("x1 s1 s2 | x3 x1");
});
