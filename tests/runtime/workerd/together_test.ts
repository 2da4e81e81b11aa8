/**
 * Requests that decode together in workerd, where what one request waits for may be dropped when its client leaves: the
 * others must not wait for it.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { BUNDLED } from "../../generate/bundled.ts";
import { hasWorkerd, serveWorker } from "../../tools/worker.ts";

const PROMPTS = ["The old house", "It was late", "She looked"];

Deno.test({
  name: "streams share steps in workerd, and go on when a client leaves",
  ignore: !await hasWorkerd(),
}, async () => {
  await using worker = await serveWorker(new URL("tools_worker.js", import.meta.url), {
    data: { "src/entry/model.gguf": BUNDLED },
    bindings: { LOAD: { sequences: 3 } },
  });
  const stream = async (prompt: string, leaveAt = Infinity) => {
    const body = { prompt, max_tokens: 120, temperature: 0.8, seed: 3, stream: true, cache_prompt: false };
    const response = await fetch(`${worker.url}v1/completions`, {
      method: "POST",
      headers: { "accept-encoding": "identity" },
      body: JSON.stringify(body),
    });
    assertEquals(response.status, 200);
    let text = "";
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.length > leaveAt) break;
    }
    const chunks = text.split("\n\n").filter((event) => /^data: \{.*\}$/.test(event));
    return chunks.map((chunk) => JSON.parse(chunk.slice(6)).choices[0].text).join("");
  };
  const metric = async (name: string) => {
    const text = await (await fetch(`${worker.url}metrics`)).text();
    return Number(new RegExp(`^locket_${name} (.*)$`, "m").exec(text)![1]);
  };
  const alone: string[] = [];
  for (const prompt of PROMPTS) alone.push(await stream(prompt));
  const [steps, tokens] = [await metric("decode_steps_total"), await metric("decoded_tokens_total")];
  for (let leaver = 0; leaver < 3; leaver++) {
    const replies = await Promise.all(
      PROMPTS.map((prompt, i) => stream(prompt, i === leaver ? 2000 : Infinity)),
    );
    for (const [i, reply] of replies.entries()) {
      if (i === leaver) assert(alone[i].startsWith(reply) && reply.length < alone[i].length);
      else assertEquals(reply, alone[i]);
    }
    while (await metric("requests_running") > 0);
  }
  const read = await metric("decoded_tokens_total") - tokens;
  const taken = await metric("decode_steps_total") - steps;
  assert(read > taken, `${read} tokens in ${taken} steps`);
});
