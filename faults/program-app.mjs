// The app of `faults -- programs`: carries out random programs, and says in its log what their code did and saw.
import { answerOf, programFunction } from "./built/operations.js";
import { ask, by, log, serve, tell } from "./serve.mjs";

const world = {
  note: log,
  by,
  send: ({ id, data }) => ask("POST", "/v1/events", [{ name: "story", id, data }]),
  // By the one who started us, who is not killed.
  sendLater: (what, ms) => tell({ what, ms }),
};

serve({
  functions: [programFunction("programs", world)],
  onJob(payload, attempt) {
    const answer = answerOf(payload, attempt);
    return { status: answer ? 200 : 500, body: answer ?? null };
  },
});
