// The signed POST of a job, as Rotor makes it: same body, same signature, same client, same endpoint (`bench/app.mjs`).
import { signRotor } from "@rotorsh/sdk/signature";
import { Agent, request } from "undici";

export function createPost({ appUrl, signingKey }) {
  const dispatcher = new Agent({ connections: 50 });
  return {
    async post(payload) {
      const body = JSON.stringify(payload);
      const answer = await request(`${appUrl}/job`, {
        method: "POST",
        body,
        headers: {
          "content-type": "application/json",
          "x-rotor-signature": signRotor(body, [signingKey], Math.floor(Date.now() / 1_000)),
        },
        dispatcher,
      });
      await answer.body.dump();
      if (answer.statusCode !== 200) throw new Error(`the endpoint answered ${answer.statusCode}`);
    },
    close: () => dispatcher.close(),
  };
}
