/** The queue against a plain model of it, over random histories. `npm run model` plays thousands. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { histories } from "../testing-kit/queue-model-commands.js";
import { play } from "../testing-kit/queue-model-play.js";
import { openTheatre, type Theatre } from "../testing-kit/queue-model-stage.js";

const seed = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const path = process.env.ROTOR_PATH;
const numRuns = Number(process.env.ROTOR_HISTORIES ?? 100);

let theatre: Theatre;
beforeAll(async () => {
  theatre = await openTheatre();
});
afterAll(() => theatre.close());

test(`the store keeps to the model over ${numRuns} histories of seed ${seed}`, { timeout: 60_000 + numRuns * 2_000 }, async () => {
  console.log(`queue model: ROTOR_SEED=${seed} ROTOR_HISTORIES=${numRuns}`);
  await fc.assert(
    fc.asyncProperty(histories, (history) => play(theatre.db, history)),
    { seed, numRuns, ...(path === undefined ? {} : { path }), endOnFailure: process.env.ROTOR_SHRINK === undefined },
  );
});
